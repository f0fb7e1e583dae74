//! Hint: the next call, which nobody cancels, has 1 of 40 pages and is Cancelled

use std::ops::ControlFlow::{Break, Continue};
use std::sync::atomic::{AtomicBool, Ordering};

use course::exercise::tool::{Context, Outcome};
use tokio::task::spawn_blocking;

use crate::check::Library;

static STOP: AtomicBool = AtomicBool::new(false);

pub async fn render(pages: u32, library: Library, ctx: Context) -> Outcome {
    tokio::spawn(async move {
        ctx.ct.cancelled().await;
        STOP.store(true, Ordering::SeqCst);
    });
    let on_page = |_| if STOP.load(Ordering::SeqCst) { Break(()) } else { Continue(()) };
    let rendered = spawn_blocking(move || library.render(pages, on_page)).await?;
    Ok((rendered == pages).then(|| format!("rendered {rendered} pages")))
}
