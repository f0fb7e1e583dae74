//! The survey: who really stops? And would it notice one who does not?

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::check;

/// Clients that swear that they have cancelled: the server is asked.
#[test]
fn a_client_that_lies_is_caught() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/survey/manifest.json");
    let mut survey = check();
    survey.args(["survey", "--json", "--manifest", manifest]);
    let seen = surveyed(survey.args(["--only", "honest,liar,wrong-id,hasty"]));
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

/// Servers: their work is watched, whatever they answer.
#[test]
fn a_server_that_works_on_is_caught() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/survey/manifest.json");
    let only = "honest-server,acknowledges,halfway";
    let mut survey = check();
    survey.args(["survey", "--json", "--manifest", manifest, "--only", only]);
    let seen = surveyed(&mut survey);
    let row = |name: &str| {
        let mut servers = seen["servers"].as_array().unwrap().iter();
        servers.find(|server| server["name"] == name).unwrap().clone()
    };
    assert_eq!(row("honest-server")["verdict"], "stops");
    assert_eq!(row("honest-server")["at_the_end"], "stops");
    let acknowledges = row("acknowledges");
    assert_eq!(acknowledges["told"], "error -32800: Request cancelled");
    assert_eq!(acknowledges["verdict"], "runs on", "{acknowledges}");
    assert_eq!(row("halfway")["verdict"], "late", "{}", row("halfway"));
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

/// The table of bridges is the one of the page on bridges, in short.
#[test]
fn the_bridges_are_those_of_their_page() {
    let (whole, page) = (page("bridges.md"), page("who-stops.md"));
    let mut bridges = 0;
    for row in whole.lines().filter(|row| row.contains(" to HTTP |") || row.contains(" to stdio |"))
    {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, by, way, _, stops, told, ..] = cells[..] else { panic!("{row}") };
        let verdict = if stops == "yes" { "stops" } else { "**runs on**" };
        let short = format!("| {name}, {by} | {way} | {verdict} | {told} |");
        assert!(page.contains(&short), "docs/src/who-stops.md should have: {short}");
        bridges += 1;
    }
    assert!(bridges >= 10, "{bridges}");
}

/// Each program of the survey is on the page, and short.
#[test]
fn the_page_shows_every_program() {
    let page = page("stop-from-your-framework.md");
    let page = page + &self::page("what-you-get-by-default.md");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("survey");
    let files = ["clients", "servers"].map(|kind| std::fs::read_dir(folder.join(kind)).unwrap());
    let mut programs = 0;
    for file in files.into_iter().flatten().flatten() {
        let name = file.file_name().into_string().unwrap();
        let kind = file.path().parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let path = format!("lessons/15-check-server/survey/{kind}/{name}");
        if ![Some("py"), Some("mjs")]
            .contains(&Path::new(&name).extension().and_then(|end| end.to_str()))
        {
            continue;
        }
        assert!(page.contains(&format!("<!-- file: {path} -->")), "the page does not show {path}");
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(text.lines().count() <= 80, "{path} is long");
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
