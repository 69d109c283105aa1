local status = obj.status or {}
local ended = status.phase == "Succeeded" or status.phase == "Failed" or status.phase == "Cancelled"
return {
  ["approve"] = {disabled = status.phase ~= "AwaitingApproval" or status.planHash == nil, iconClass = "fa fa-fw fa-check"},
  ["cancel"] = {disabled = ended or obj.spec.cancel == true, iconClass = "fa fa-fw fa-stop"},
}
