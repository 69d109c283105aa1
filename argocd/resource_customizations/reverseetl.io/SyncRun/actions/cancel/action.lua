-- Ends the run; what was acknowledged is kept.
obj.spec.cancel = true
return obj
