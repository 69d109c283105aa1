#!/usr/bin/env bash
# Makes a sync of a query, runs it, looks at what failed, and deletes it again, by /api/reverse-etl.
# Needs bash, curl 7.76 and jq. The workspace is that of the credential.
#
#   export API=https://retl.example.com TOKEN="$(kubectl create token retl-operator -n growth)"
#   DESTINATION=conn_sf_prod examples/rest/reverse-etl.sh
set -euo pipefail

: "${API:?address of the API}" "${TOKEN:?Kubernetes token or API key}"
DESTINATION="${DESTINATION:-conn_sf_prod}"
base="$API/api/reverse-etl"

# The token goes in by a file descriptor: what stands on a command line, everybody on this machine can read.
call() {
  local path="$1"
  shift
  curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' \
    --config <(printf 'header = "Authorization: Bearer %s"\n' "$TOKEN") "$@" "$base/$path"
}

call destinations | jq --raw-output '.data[] | "\(.id) \(.attributes.name): \(.attributes.status)"'

# With the same Idempotency-Key, a second try after a lost answer makes no second sync.
sync="$(
  jq --null-input --arg destination "$DESTINATION" '{
    name: "Active accounts to Salesforce",
    sourceQuery: "SELECT account_id, name FROM analytics.dim_crm_account WHERE is_active = true",
    destinationId: $destination,
    objectName: "Account",
    fieldMappings: [
      {source: "account_id", destination: "External_Id__c", key: true},
      {source: "trim(name)", destination: "Name", skipNulls: true}
    ],
    syncMode: "upsert",
    schedule: {type: "cron", expression: "15 */4 * * *", timezone: "Europe/Vienna"}
  }' | call syncs --data @- --header "Idempotency-Key: $$-$RANDOM$RANDOM" | jq --raw-output .data.id
)"
call "syncs/$sync" | jq .data.attributes

call "syncs/$sync" --request PUT --data '{"schedule": {"type": "cron", "expression": "0 */2 * * *"}}' |
  jq --raw-output '.data.attributes.schedule | "runs at \(.expression), \(.timezone)"'
call sync/toggle --data "$(jq --null-input --arg id "$sync" '{syncId: $id, enabled: false}')" |
  jq --raw-output '"enabled: \(.data.attributes.enabled)"'

run="$(call sync/run --data "$(jq --null-input --arg id "$sync" '{syncId: $id}')" | jq --raw-output .data.id)"
call "runs/$run" | jq --raw-output '.data | "run \(.id) is \(.attributes.status)"'
call "runs?sync_id=$sync&limit=10" |
  jq --raw-output '.data[].attributes | "\(.status): \(.rows_written) written, \(.rows_failed) failed"'
call "dlq/stats?sync_id=$sync" | jq --raw-output '"open dead letters: \(.data.attributes.open_count)"'
call "dlq?sync_id=$sync&limit=10" | jq --raw-output '.data[].attributes | "\(.error_code): \(.message)"'

call "syncs/$sync?format=yaml" # to commit to Git
call "syncs/$sync" --request DELETE | jq --raw-output '"deleted: \(.data.attributes.deleted)"'
