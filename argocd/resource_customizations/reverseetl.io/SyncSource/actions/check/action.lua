-- Has the connection looked at now, and what it has found again.
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["reverseetl.io/check-requested-at"] = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
