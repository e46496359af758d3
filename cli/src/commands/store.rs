//! What the verbs on a whole store share: which store, opened without a gateway.

use std::path::PathBuf;
use std::time::Duration;

use indicatif::ProgressBar;
use vdom_edge::settings;
use vdom_gateway::GatewayConfig;
use vdom_gateway::maintenance::MaintainedStore;

use super::gateway;
use super::serve::{self, SettingsOptions};
use crate::data::DataOptions;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::progress::progress_bar;

const REDRAW_EVERY: Duration = Duration::from_millis(100);

/// Which store; its gateway must be stopped.
#[derive(clap::Args, Debug)]
pub(crate) struct StoreOptions {
    #[command(flatten)]
    data: DataOptions,
    /// Directory of the embedded store [default: `store` in the data directory]
    #[arg(long, value_name = "DIR")]
    store_path: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsOptions,
}

impl StoreOptions {
    /// Opens a store that exists.
    pub(crate) async fn open(self) -> Result<MaintainedStore, Failure> {
        let config = self.config()?;
        if let Some(path) = config.store.directory()
            && !path.join("FORMAT").exists()
        {
            return Err(Failure::new(
                Exit::NotFound,
                format!("there is no store at {}", path.display()),
            )
            .advice("name it with --data, --store-path or --config"));
        }
        vdom_gateway::open_maintained_store(&config.store).await.map_err(serve::not_started)
    }

    /// Opens a store, and makes an embedded one that does not exist.
    pub(crate) async fn open_or_make(self) -> Result<MaintainedStore, Failure> {
        vdom_gateway::open_maintained_store(&self.config()?.store).await.map_err(serve::not_started)
    }

    fn config(self) -> Result<GatewayConfig, Failure> {
        let path = match self.store_path {
            Some(path) => Some(path),
            None if self.settings.is_empty() => Some(self.data.directory()?.store()),
            None => None,
        };
        let flags = [("store.path", serve::path_setting(path.as_deref()))];
        let sources = self.settings.sources(gateway::PREFIX, flags);
        settings::load(&sources).map_err(serve::wrong_settings)
    }
}

/// Does something to a whole store, showing how far it is, and closes the store.
pub(crate) async fn maintain<T, E>(
    store: MaintainedStore,
    output: &Output,
    what: &'static str,
    work: impl AsyncFnOnce(&MaintainedStore, &ProgressBar) -> Result<T, E>,
) -> Result<T, Failure>
where
    Failure: From<E>,
{
    let bar = progress(output, what);
    let done = work(&store, &bar).await;
    bar.finish_and_clear();
    store.close().await.map_err(|error| Failure::failed(error.message))?;
    Ok(done?)
}

fn progress(output: &Output, what: &'static str) -> ProgressBar {
    let bar = progress_bar(output, None, "{spinner} {human_pos} {msg} {elapsed}");
    if !bar.is_hidden() {
        bar.set_message(what);
        bar.enable_steady_tick(REDRAW_EVERY);
    }
    bar
}
