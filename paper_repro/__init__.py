"""Reference reproduction of Bai and Joe, "Deep Learning Methods With the Improved Attention for Explainable
Image Recognition", IEEE Access 12, 2024, doi 10.1109/ACCESS.2024.3397323."""
