"""How far an estimate is to be trusted: known answers, learning curve, calibration."""
