-- Lets the run go on with exactly the plan that it shows. Needs the right: update syncruns/approval.
obj.spec.approval = {planHash = obj.status.planHash}
return obj
