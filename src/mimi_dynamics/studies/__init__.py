"""What one stage alone needs, one folder a stage; only calm imports another study, rssm."""
