"""A live look at a domain: records, MTA-STS, DANE, STARTTLS, certificates."""
