-- No tick runs from now on; what goes on goes on.
obj.spec.state = "Paused"
return obj
