"""Salesforce: sObject Collections for few records, Bulk API 2.0 jobs for many."""
