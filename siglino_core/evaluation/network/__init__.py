"""Networks that are evaluated, through one door: students, teachers, encoders, whatever a spec names."""
