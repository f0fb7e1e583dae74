//! `cargo run -p book -- COMMAND`. `docs/build.sh` calls `stage` and `check`; people call the others.

use std::io::{Read as _, stdin};
use std::path::Path;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo run -p book -- COMMAND
  stage DIR    write the pages for mdBook to DIR
  check DIR    follow every link of the book built in DIR
  programs     write the programs that the pages show anew, from their files
  picture      read the tour's output, and draw docs/src/tour.svg:
               cargo run | cargo run -p book -- picture";

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["stage", folder] => book::stage::stage(&root, Path::new(folder)),
        ["check", folder] => {
            let (wrong, followed) = book::check::check(Path::new(folder))?;
            for sentence in &wrong {
                eprintln!("{sentence}");
            }
            println!("{} of {followed} links hold", followed - wrong.len());
            std::process::exit(i32::from(!wrong.is_empty()));
        }
        ["programs"] => {
            for page in book::programs::pages(&root)? {
                if book::programs::refresh(&root, &page)? {
                    println!("{} has changed", page.display());
                }
            }
            Ok(())
        }
        ["picture"] => {
            let mut tour = String::new();
            stdin().read_to_string(&mut tour)?;
            let picture = book::picture::draw(&book::picture::excerpt(&tour)?);
            Ok(std::fs::write(root.join("docs/src/tour.svg"), picture)?)
        }
        _ => bail!("{USAGE}"),
    }
}
