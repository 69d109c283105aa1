-- How it stands; what has ended stays as it ended.
local status = obj.status or {}
if status.phase == nil then
  return {status = "Progressing", message = "the controller has not looked at it yet"}
end

local message = status.phase
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Succeeded" and (condition.message or "") ~= "" then
    message = condition.reason .. ": " .. condition.message
  end
end
local health = {AwaitingApproval = "Suspended", Succeeded = "Healthy", Cancelled = "Healthy", Failed = "Degraded"}
return {status = health[status.phase] or "Progressing", message = message}
