"""HubSpot: records of the CRM, standard or custom objects."""
