//! A minimal server on rmcp, for the survey: tools as one writes them, and mended.
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServiceExt, tool, tool_router};
use tokio::process::Command;

const CHILD: &str = r#"for i in $(seq 80); do echo step >> "$STEPS"; sleep 0.25; done"#;
const PAUSE: Duration = Duration::from_millis(250);

struct Minimal;

fn step() {
    let path = std::env::var("STEPS").unwrap_or_default();
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
        let _ = writeln!(file, "step");
    }
}

async fn work() {
    for _ in 0..80 {
        step();
        tokio::time::sleep(PAUSE).await;
    }
}

#[tool_router(server_handler)]
impl Minimal {
    #[tool]
    async fn awaits(&self) {
        work().await;
    }

    #[tool]
    async fn blocks(&self) {
        for _ in 0..80 {
            step();
            std::thread::sleep(PAUSE);
        }
    }

    #[tool]
    async fn child(&self) {
        let _ = Command::new("sh").args(["-c", CHILD]).status().await;
    }

    #[tool]
    async fn awaits_mended(&self, ctx: RequestContext<RoleServer>) {
        tokio::select! {
            () = ctx.ct.cancelled() => {}
            () = work() => {}
        }
    }

    #[tool]
    async fn child_mended(&self, ctx: RequestContext<RoleServer>) {
        let mut shell = Command::new("sh");
        let Ok(mut shell) = shell.args(["-c", CHILD]).kill_on_drop(true).spawn() else { return };
        tokio::select! {
            () = ctx.ct.cancelled() => {}
            _ = shell.wait() => {}
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Minimal.serve(rmcp::transport::stdio()).await?.waiting().await?;
    Ok(())
}
