//! A real browser in a namespace: headless Chromium, driven over WebDriver.

use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use fantoccini::{Client, ClientBuilder, Locator};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};

use crate::clock;
use crate::namespace::Namespace;
use crate::process::{BRIEF, Running};

/// Where chromedriver listens; the namespace is ours alone.
const PORT: u16 = 9515;

/// A driver without a window yet.
#[derive(Debug)]
pub struct Browser {
    driver: Running,
    namespace: PathBuf,
    profile: PathBuf,
}

/// Which colours the reader likes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// One window.
#[derive(Debug)]
pub struct Window {
    client: Client,
}

impl Browser {
    /// Starts the driver.
    ///
    /// # Errors
    ///
    /// When it does not start: Debian has it as `chromium-driver`.
    pub fn start(namespace: &Namespace, directory: &Path) -> Result<Self> {
        let port = format!("--port={PORT}");
        let log = directory.join("chromedriver.log");
        let driver = namespace.start("chromedriver", &["chromedriver", &port], &[], &log)?;
        Ok(Self {
            driver,
            namespace: Path::new("/run/netns").join(namespace.name()),
            profile: directory.join("profile"),
        })
    }

    /// Opens a window and lets `act` use it. All its connections are made inside the namespace.
    ///
    /// # Errors
    ///
    /// When there is no window, and what `act` says.
    pub fn drive<T: Send, F: Future<Output = Result<T>>>(
        &mut self,
        scheme: Scheme,
        act: impl FnOnce(Window) -> F + Send,
    ) -> Result<T> {
        self.driver.alive()?;
        let namespace = File::open(&self.namespace)?;
        let profile = &self.profile;
        // A thread of its own: it does not come back from there.
        let inside = move || -> Result<T> {
            use std::os::fd::AsFd as _;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let window = Window::open(profile, scheme).await?;
                let client = window.client.clone();
                let result = act(window).await;
                client.close().await.context("close the browser")?;
                result
            })
        };
        thread::scope(|scope| scope.spawn(inside).join())
            .map_err(|_| anyhow!("the browser's thread panicked"))?
    }
}

impl Window {
    async fn open(profile: &Path, scheme: Scheme) -> Result<Self> {
        let profile = format!("--user-data-dir={}", profile.display());
        // Chromium's own numbers.
        let colours = match scheme {
            Scheme::Dark => "--blink-settings=preferredColorScheme=0",
            Scheme::Light => "--blink-settings=preferredColorScheme=1",
        };
        let options = json!({ "args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--window-size=1280,900", profile, colours,
        ]});
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("goog:chromeOptions".to_owned(), options);
        let url = format!("http://127.0.0.1:{PORT}");
        let start = clock::now();
        loop {
            let connector = hyper_util::client::legacy::connect::HttpConnector::new();
            let connected = ClientBuilder::new(connector)
                .capabilities(capabilities.clone())
                .connect(&url)
                .await;
            match connected {
                Ok(client) => return Ok(Self { client }),
                Err(error) if 2 * BRIEF <= clock::since(start) => {
                    bail!("no browser: {error}");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Opens a page.
    ///
    /// # Errors
    ///
    /// When the browser does not.
    pub async fn go_to(&self, url: &str) -> Result<()> {
        self.client.goto(url).await.with_context(|| url.to_owned())
    }

    /// Types into the first element that `css` selects, after what it holds has been taken out.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn fill(&self, css: &str, text: &str) -> Result<()> {
        let element = self.client.find(Locator::Css(css)).await?;
        element.clear().await?;
        Ok(element.send_keys(text).await?)
    }

    /// Clicks.
    ///
    /// # Errors
    ///
    /// When there is nothing to click.
    pub async fn click(&self, css: &str) -> Result<()> {
        Ok(self.client.find(Locator::Css(css)).await?.click().await?)
    }

    /// How a window of another width shows it.
    ///
    /// # Errors
    ///
    /// When the browser refuses.
    pub async fn resize(&self, width: u32, height: u32) -> Result<()> {
        Ok(self.client.set_window_size(width, height).await?)
    }

    /// The value of a JavaScript expression.
    ///
    /// # Errors
    ///
    /// When it throws.
    pub async fn value(&self, expression: &str) -> Result<Value> {
        let script = format!("return {expression};");
        self.client
            .execute(&script, Vec::new())
            .await
            .with_context(|| expression.to_owned())
    }

    /// Waits until an expression is `wanted`.
    ///
    /// # Errors
    ///
    /// When it is not within `limit`; says what it is instead.
    pub async fn wait(&self, limit: Duration, expression: &str, wanted: Value) -> Result<()> {
        let start = clock::now();
        loop {
            let value = self.value(expression).await?;
            if value == wanted {
                return Ok(());
            }
            clock::go_on()?;
            if limit <= clock::since(start) {
                bail!("{expression}: {value} and not {wanted} within {limit:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Writes what the window shows as PNG.
    ///
    /// # Errors
    ///
    /// When the browser refuses or the file cannot be written.
    pub async fn screenshot(&self, file: &Path) -> Result<()> {
        let png = self.client.screenshot().await?;
        std::fs::write(file, png).with_context(|| format!("{}", file.display()))
    }
}
