local state = obj.spec.state or "Active"
local letters = (obj.status or {}).deadLetters or 0
local draft = state == "Draft"
return {
  ["trigger"] = {disabled = draft, iconClass = "fa fa-fw fa-play-circle"},
  ["full-refresh"] = {disabled = draft, iconClass = "fa fa-fw fa-sync"},
  ["replay"] = {disabled = draft or letters == 0, iconClass = "fa fa-fw fa-redo"},
  ["pause"] = {disabled = state ~= "Active", iconClass = "fa fa-fw fa-pause"},
  ["resume"] = {disabled = state ~= "Paused", iconClass = "fa fa-fw fa-play"},
}
