"""The controller at 10,000 syncs on a real control plane, beside 10,000 CronJobs under their real controller."""
