//! The survey: who really stops? And would it notice one who does not?

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::check;

/// Clients that swear that they have cancelled: the server is asked.
#[test]
fn a_client_that_lies_is_caught() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/survey/manifest.json");
    let seen = surveyed(check().args(["survey", "--json", "--manifest", manifest]));
    let verdict = |name: &str| {
        let mut clients = seen["clients"].as_array().unwrap().iter();
        let run = &clients.find(|client| client["name"] == name).unwrap()["runs"][0];
        assert!(run["told"].as_str().unwrap().contains("has stopped"), "{run}");
        run["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!(verdict("honest"), "stops");
    assert_eq!(verdict("liar"), "runs on");
    assert_eq!(verdict("wrong-id"), "runs on");
    assert_eq!(verdict("hasty"), "late");
}

#[test]
fn an_unknown_name_is_an_error_that_names_the_known() {
    let run = check().args(["survey", "--only", "no-such"]).output().unwrap();
    let said = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(2));
    assert!(said.contains("there is no entry `no-such`") && said.contains("mcp-2"), "{said}");
}

/// The page says what the survey sees, and nothing else.
#[test]
#[ignore = "needs all that `mcp-cancel-check survey install` installs, see .ci/run"]
fn the_page_shows_what_the_survey_sees() {
    let run = check().args(["survey", "--markdown"]).output().unwrap();
    let seen = String::from_utf8(run.stdout).unwrap();
    let page = page("who-stops.md");
    let shown: Vec<_> = page.lines().filter(|line| line.ends_with("` |")).collect();
    let rows: Vec<_> = seen.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(shown, rows, "docs/src/who-stops.md should have:\n{seen}");
}

/// Each program of the survey is on the page, and short.
#[test]
fn the_page_shows_every_program() {
    let page = page("stop-from-your-framework.md");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("survey/clients");
    let mut programs = 0;
    for file in std::fs::read_dir(folder).unwrap().flatten() {
        let name = file.file_name().into_string().unwrap();
        let path = format!("lessons/15-check-server/survey/clients/{name}");
        if ![Some("py"), Some("mjs")]
            .contains(&Path::new(&name).extension().and_then(|end| end.to_str()))
        {
            continue;
        }
        assert!(page.contains(&format!("<!-- file: {path} -->")), "the page does not show {path}");
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(text.lines().count() <= 30, "{path} is long");
        programs += 1;
    }
    assert!(programs > 15, "{programs}");
}

fn surveyed(survey: &mut Command) -> Value {
    let run = survey.output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    serde_json::from_slice(&run.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src").join(name);
    std::fs::read_to_string(path).unwrap()
}
