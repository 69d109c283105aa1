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
-- A check goes on now and then: until it has ended, what was found before stands.
return {status = "Healthy", message = told("Ready")}
