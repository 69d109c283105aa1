-- Ticks run again; the one that is due first is the next one.
obj.spec.state = "Active"
return obj
