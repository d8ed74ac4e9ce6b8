"""The report page and the verdicts on the bets, from metrics; nothing computes a result here."""
