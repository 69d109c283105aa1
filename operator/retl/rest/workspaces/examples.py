"""The published examples, for the OpenAPI description."""

from retl.rest.workspaces import answers

SYNC: answers.Sync = {
    "id": "550e8400-e29b-41d4-a716-446655440000",
    "workspace_id": "660e8400-e29b-41d4-a716-446655440000",
    "model_id": "770e8400-e29b-41d4-a716-446655440000",
    "destination_id": "880e8400-e29b-41d4-a716-446655440000",
    "name": "Customers to Salesforce",
    "description": "Sync active customers to Salesforce contacts",
    "field_mapping": [
        {"source_column": "email", "destination_field": "Email"},
        {"source_column": "first_name", "destination_field": "FirstName"},
        {"source_column": "revenue", "destination_field": "Annual_Revenue", "type_cast": "number"},
    ],
    "sync_mode": "upsert",
    "schedule": "0 */6 * * *",
    "config": {"object": "Contact", "key": ["Email"]},
    "primary_key": "customer_id",
    "status": "active",
    "status_error": "",
    "created_by": "990e8400-e29b-41d4-a716-446655440000",
    "created_at": "2024-01-15T09:30:00Z",
    "updated_at": "2024-01-15T09:30:00Z",
    "last_synced_at": "2024-01-15T15:00:00Z",
    "last_run_id": "bbe84000-e29b-41d4-a716-446655440000",
}
CREATE = {
    name: SYNC[name]
    for name in ("name", "model_id", "destination_id", "field_mapping", "sync_mode", "primary_key", "schedule")
}
CHANGE = {"schedule": "0 */12 * * *", "status": "paused"}
STARTED: answers.StartedRun = {
    "id": "bbe84000-e29b-41d4-a716-446655440000",
    "sync_id": "550e8400-e29b-41d4-a716-446655440000",
    "workspace_id": "660e8400-e29b-41d4-a716-446655440000",
    "status": "pending",
    "started_at": "2024-01-15T15:00:00Z",
    "rows_synced": 0,
    "rows_failed": 0,
    "triggered_by": "990e8400-e29b-41d4-a716-446655440000",
    "created_at": "2024-01-15T15:00:00Z",
}
RUN: answers.Run = {
    **STARTED,
    "status": "completed",
    "completed_at": "2024-01-15T15:02:30Z",
    "rows_synced": 5420,
    "rows_failed": 3,
    "error_message": "",
}
MANIFEST = """\
apiVersion: reverseetl.io/v1alpha1
kind: ReverseETLSync
metadata:
  name: customers-to-salesforce
  namespace: growth
spec:
  displayName: Customers to Salesforce
  modelRef:
    name: customers
  destinationRef:
    name: salesforce
  object: Contact
  mappings:
  - destination: Email
    source: email
    key: true
  schedule:
    cron: 0 */6 * * *
"""
_CONNECTION: answers.Connection = {
    "id": "880e8400-e29b-41d4-a716-446655440000",
    "workspace_id": "660e8400-e29b-41d4-a716-446655440000",
    "name": "Salesforce",
    "status": "ready",
    "status_error": "",
    "created_at": "2024-01-15T09:30:00Z",
}
DESTINATION: answers.Connector = {**_CONNECTION, "connector": "salesforce"}
SOURCE: answers.Connector = {**_CONNECTION, "name": "Warehouse", "connector": "postgres"}
MODEL: answers.Model = {**_CONNECTION, "name": "customers", "source_id": "aae84000-e29b-41d4-a716-446655440000"}
EVENTS = (
    'retry: 3000\n\nevent: run\nid: 4711\ndata: {"id":"bbe84000-e29b-41d4-a716-446655440000","status":"running"}\n\n'
)
