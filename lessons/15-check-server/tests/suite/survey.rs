//! The survey: who really stops? And would it notice one who does not?

use std::path::Path;

use serde_json::Value;

use crate::support::check;

const WRONG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/survey/manifest.json");

/// Clients that swear that they have cancelled: the server is asked.
#[test]
fn a_client_that_lies_is_caught() {
    let seen = surveyed(&["--manifest", WRONG, "--only", "honest,liar,wrong-id"]);
    for way in ["stop", "close", "interrupt"] {
        assert_eq!(verdict(&seen, "honest", way), "stops", "{way}");
        assert_eq!(verdict(&seen, "liar", way), "runs on", "{way}");
        assert_eq!(verdict(&seen, "wrong-id", way), "runs on", "{way}");
    }
    // It has no time to be honest.
    assert_eq!(verdict(&seen, "honest", "kill"), "runs on");
}

#[test]
fn a_client_that_is_hasty_or_lies_on_stdio_is_caught() {
    let only = "hasty,pipe-honest,pipe-liar,pipe-killer";
    let seen = surveyed(&["--manifest", WRONG, "--only", only]);
    assert_eq!(verdict(&seen, "hasty", "stop"), "late");
    assert_eq!(verdict(&seen, "hasty", "close"), "late");
    assert_eq!(verdict(&seen, "pipe-honest", "stop"), "stops");
    assert_eq!(verdict(&seen, "pipe-liar", "stop"), "runs on");
    assert_eq!(verdict(&seen, "pipe-killer", "stop"), "stops");
}

/// The verdict on a client. If it lives on, it says that the call has stopped.
fn verdict(seen: &Value, name: &str, way: &str) -> String {
    let client = named(&seen["clients"], name);
    let mut runs = client["runs"].as_array().unwrap().iter();
    let run = runs.find(|run| run["way"] == way).unwrap();
    if ["stop", "close"].contains(&way) {
        assert!(run["told"].as_str().unwrap().contains("has stopped"), "{run}");
    }
    run["verdict"].as_str().unwrap().to_owned()
}

/// Servers: their work is watched, whatever they answer.
#[test]
fn a_server_that_works_on_is_caught() {
    let seen = surveyed(&["--manifest", WRONG, "--only", "honest-server,acknowledges,halfway"]);
    let row = |name: &str| named(&seen["servers"], name);
    let honest = row("honest-server");
    assert_eq!(honest["verdict"], "stops", "{honest}");
    assert_eq!(honest["at_the_end"], "stops", "{honest}");
    for good in ["blocked", "left", "silenced"] {
        assert_eq!(honest[good], false, "{honest}");
    }
    let acknowledges = row("acknowledges");
    assert_eq!(acknowledges["told"], "error -32800: Request cancelled");
    assert_eq!(acknowledges["verdict"], "runs on", "{acknowledges}");
    assert_eq!(acknowledges["blocked"], false, "{acknowledges}");
    assert_eq!(row("halfway")["verdict"], "late", "{}", row("halfway"));
}

#[test]
fn a_server_that_falls_silent_or_leaves_a_child_is_caught() {
    let seen = surveyed(&["--manifest", WRONG, "--only", "crowded,blocked,orphan"]);
    let row = |name: &str| named(&seen["servers"], name);
    assert_eq!(row("crowded")["silenced"], true, "{}", row("crowded"));
    assert_eq!(row("crowded")["blocked"], false, "{}", row("crowded"));
    assert_eq!(row("blocked")["blocked"], true, "{}", row("blocked"));
    assert_eq!(row("orphan")["left"], true, "{}", row("orphan"));
    assert_eq!(row("orphan")["at_the_end"], "runs on", "{}", row("orphan"));
}

/// On a machine where nothing is installed, our own entries are judged and the others are named.
#[test]
fn without_packages_our_own_entries_are_judged() {
    let empty = tempfile::tempdir().unwrap();
    let seen = surveyed(&["--home", empty.path().to_str().unwrap()]);
    let names = |part: &str| {
        let entries = seen[part].as_array().unwrap().iter();
        let mut names: Vec<_> = entries.map(|one| one["name"].as_str().unwrap()).collect();
        names.dedup();
        names
    };
    assert_eq!(names("clients"), ["rmcp"]);
    assert_eq!(names("servers"), ["server-rmcp"]);
    let rmcp = named(&seen["clients"], "rmcp");
    let runs = rmcp["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 11);
    assert!(runs.iter().all(|run| run["verdict"] != "not judged"), "{rmcp}");
    assert_eq!(runs[0]["verdict"], "stops", "{rmcp}");
    let mut tools = seen["servers"].as_array().unwrap().iter();
    assert!(tools.all(|tool| tool["verdict"] != "not judged"), "{seen}");
    let missing = seen["not_installed"].as_array().unwrap();
    assert_eq!(missing.len(), 25 + 16, "{missing:?}");
    for entry in missing {
        let install =
            format!("mcp-cancel-check survey install {}", entry["name"].as_str().unwrap());
        assert!(entry["install"].as_str().unwrap().ends_with(&install), "{entry}");
    }
}

#[test]
fn an_unknown_name_is_an_error_that_names_the_known() {
    let run = check().args(["survey", "--only", "no-such"]).output().unwrap();
    let said = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(2));
    assert!(said.contains("there is no entry `no-such`") && said.contains("mcp-2"), "{said}");
}

/// A server that needs a program of this machine says which package has it.
#[test]
fn what_is_missing_is_named_with_its_package() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("manifest.json");
    let entry = r#"{ "name": "it", "package": "it", "program": "it.py", "tools": [],
        "needs": { "/no/such/database": "postgresql", "/no/such/tool": "postgresql" } }"#;
    std::fs::write(&manifest, format!(r#"{{ "servers": [{entry}] }}"#)).unwrap();
    let seen = surveyed(&["--manifest", manifest.to_str().unwrap()]);
    assert_eq!(seen["not_installed"][0]["install"], "apt-get install postgresql");
}

/// The page says what the survey sees, and nothing else.
#[test]
#[ignore = "needs all that `mcp-cancel-check survey install` installs, see .ci/run"]
fn the_page_shows_what_the_survey_sees() {
    let run = check().args(["survey", "--markdown"]).output().unwrap();
    let seen = String::from_utf8(run.stdout).unwrap();
    let rows = |text: &str| {
        let rows = text.lines().filter(|line| line.ends_with("` |"));
        rows.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        rows(&page("who-stops.md")),
        rows(&seen),
        "docs/src/who-stops.md should have:\n{seen}"
    );
}

/// The page, its JSON and its picture are of one run, and made by the program.
#[test]
fn the_page_and_the_picture_are_made_from_the_json() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src");
    let folder = tempfile::tempdir().unwrap();
    // Without its tables: none of them can be left as it was.
    let text: Vec<_> = page("who-stops.md").lines().map(str::to_owned).collect();
    let text: Vec<_> = text.into_iter().filter(|line| !line.ends_with("` |")).collect();
    std::fs::write(folder.path().join("who-stops.md"), text.join("\n") + "\n").unwrap();
    let mut survey = check();
    survey.args(["survey", "--from"]).arg(docs.join("who-stops.json"));
    assert!(survey.arg("--page").arg(folder.path()).status().unwrap().success());
    for name in ["who-stops.md", "who-stops.svg", "who-stops.json"] {
        let made = std::fs::read_to_string(folder.path().join(name)).unwrap();
        let shown = page(name);
        let other = made.lines().zip(shown.lines()).find(|(made, shown)| made != shown);
        assert!(made == shown, "docs/src/{name} is not made from the JSON: {other:?}");
    }
}

/// What does not stop has a report: by the client's own stop, timeout or close, or a server's tool.
#[test]
fn each_bad_verdict_has_a_report() {
    let (seen, reports) = (page("who-stops.json"), page("reports.md"));
    let seen: Value = serde_json::from_str(&seen).unwrap();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let bad = |verdict: &Value| !["stops", "none"].contains(&verdict.as_str().unwrap());
    let mut reported = 0;
    let mut must_have = |entry: &Value| {
        let title = entry["title"].as_str().unwrap();
        let package = title.split(" on ").next().unwrap();
        let heading = |line: &&str| line.starts_with("### ") && line.contains(package);
        let name = entry["name"].as_str().unwrap();
        assert!(reports.lines().any(|line| heading(&line)), "docs/src/reports.md lacks {package}");
        assert!(package.starts_with("rmcp ") || reports.contains(name), "no command for {name}");
        reported += 1;
    };
    for client in list(&seen["clients"]) {
        let own = |run: &Value| !["interrupt", "kill"].contains(&run["way"].as_str().unwrap());
        if list(&client["runs"]).iter().any(|run| own(run) && bad(&run["verdict"])) {
            must_have(&client);
        }
    }
    for row in list(&seen["servers"]).iter().filter(|row| bad(&row["verdict"])) {
        must_have(row);
    }
    assert!(reported > 20, "{reported}");
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

fn surveyed(arguments: &[&str]) -> Value {
    let run = check().args(["survey", "--json"]).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    serde_json::from_slice(&run.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// The first entry of this name.
fn named(entries: &Value, name: &str) -> Value {
    entries.as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap().clone()
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src").join(name);
    std::fs::read_to_string(path).unwrap()
}
