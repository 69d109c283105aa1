#!/usr/bin/env bash
# Makes a sync, runs it, changes it and deletes it again, by /api/v1/workspaces. Needs bash, curl 7.76 and jq.
#
#   export API=https://retl.example.com WORKSPACE=growth TOKEN="$(kubectl create token retl-operator -n growth)"
#   MODEL=active-accounts DESTINATION=sf-prod examples/rest/workspaces.sh
set -euo pipefail

: "${API:?address of the API}" "${WORKSPACE:?namespace, or its uid}" "${TOKEN:?Kubernetes token or API key}"
MODEL="${MODEL:-active-accounts}"
DESTINATION="${DESTINATION:-sf-prod}"
base="$API/api/v1/workspaces/$WORKSPACE"

# The token goes in by a file descriptor: what stands on a command line, everybody on this machine can read.
call() {
  curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' \
    --config <(printf 'header = "Authorization: Bearer %s"\n' "$TOKEN") "$@"
}

id_of() {
  call "$base/$1" | jq --exit-status --raw-output --arg name "$2" '.[] | select(.name == $name) | .id'
}

model_id="$(id_of models "$MODEL")"
destination_id="$(id_of destinations "$DESTINATION")"

sync="$base/syncs/$(
  jq --null-input --arg model "$model_id" --arg destination "$destination_id" '{
    name: "Customers to Salesforce",
    model_id: $model,
    destination_id: $destination,
    field_mapping: [
      {source_column: "email", destination_field: "Email"},
      {source_column: "revenue", destination_field: "Annual_Revenue", type_cast: "number"}
    ],
    sync_mode: "upsert",
    primary_key: "customer_id",
    schedule: "0 */6 * * *",
    config: {object: "Contact", guards: {maxDeletes: "5%"}}
  }' | call --data @- "$base/syncs" | jq --raw-output .id
)"
call "$sync" | jq '{name, status, schedule, config}'

call --request PUT --data '{"schedule": "0 */12 * * *", "status": "paused"}' "$sync" |
  jq --raw-output '"\(.name) is \(.status) and would run at \(.schedule)"'

call --request POST "$sync/trigger" | jq --raw-output '"run \(.id) is \(.status)"'
call "$sync/runs" | jq --raw-output '.[] | "\(.created_at) \(.status): \(.rows_synced) synced, \(.rows_failed) failed"'

call "$sync?format=yaml" # to commit to Git
call --request DELETE "$sync" | jq --raw-output .status
