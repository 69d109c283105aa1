local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the controller has not looked at it yet"}
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local function holds(type)
  return conditions[type] ~= nil and conditions[type].status == "True"
end
local function told(type)
  local condition = conditions[type] or {reason = "no condition " .. type}
  local message = condition.message or ""
  return message == "" and condition.reason or condition.reason .. ": " .. message
end

if holds("Stalled") then
  return {status = "Degraded", message = told("Stalled")}
end
if not holds("Ready") then
  return {status = "Progressing", message = told("Ready")}
end
-- Neither a run that goes on, nor one that failed, nor a pause says anything against what Git has. Argo CD waits for ever
-- for what is Suspended, so a sync that is paused would hold up the wave that it is in.
local message = told("Ready")
if conditions.LastRunSucceeded ~= nil and conditions.LastRunSucceeded.status == "False" then
  message = message .. "; the last run failed: " .. told("LastRunSucceeded")
end
if (status.deadLetters or 0) > 0 then
  message = message .. "; open dead letters: " .. status.deadLetters
end
return {status = "Healthy", message = message}
