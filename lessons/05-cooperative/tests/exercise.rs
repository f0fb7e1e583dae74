//! The check of the exercise is right about the stub, a solution and wrong answers.

testing::judges!(cooperative::render:
    aborts blocks deaf looks_rarely panics runs_ahead stops_too_much);
