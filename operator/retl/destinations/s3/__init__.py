"""Files in Amazon S3, and in what speaks its API."""
