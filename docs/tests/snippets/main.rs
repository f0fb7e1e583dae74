//! The Rust programs that the pages show. Each module is one program, and a test of what its page says.

mod children;
mod critical_section;
mod either_side;
mod half_a_frame;
mod ladder;
