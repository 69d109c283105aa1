-- A run that sends all open dead letters again, as `retl dlq replay SYNC` makes it.
-- It is named after the second, so that a second click makes no second run, and never as the run of a tick is.
local run = {
  apiVersion = obj.apiVersion,
  kind = "SyncRun",
  metadata = {
    name = obj.metadata.name .. "-" .. os.time(),
    namespace = obj.metadata.namespace,
    annotations = {["argocd.argoproj.io/ignore-resource-updates"] = "true"},
    ownerReferences = {
      {apiVersion = obj.apiVersion, kind = obj.kind, name = obj.metadata.name, uid = obj.metadata.uid},
    },
  },
  spec = {syncRef = {name = obj.metadata.name}, mode = "Replay"},
}
return {{operation = "create", resource = run}}
