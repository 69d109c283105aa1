return {check = {disabled = false, iconClass = "fa fa-fw fa-stethoscope"}}
