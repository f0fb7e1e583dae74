//! The check of the exercise is right about the stub, a solution and wrong answers.

testing::judges!(late_cancel::count_rows:
    asks_twice blocks contradicts_itself deaf half_an_entry no_entry panics two_ends);
