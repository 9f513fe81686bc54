"""How soon the app answers: real servers, workers and browsers, timed where a person looks."""
