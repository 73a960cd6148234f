//! The CNI plugin on the node: put there, kept there, taken away.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use egret_cni::NAME;
use egret_cni::chain::{self, Settings};
use tracing::{info, warn};

use super::config::PluginConfig;
use super::starts;

/// The plugin in a node's network.
pub struct Plugin {
    config: PluginConfig,
    settings: Settings,
    /// Bytes of the program that was put there: it is read whole once, not at every look.
    put: Option<u64>,
    /// What hindered it last, told once.
    told: Option<String>,
}

impl Plugin {
    /// For an agent whose API has this socket.
    pub fn new(config: PluginConfig, socket: &Path) -> Self {
        let settings = Settings { socket: starts::socket(socket), exempt_namespaces: config.exempt.clone() };
        Self { config, settings, put: None, told: None }
    }

    /// Puts it where the node's runtime finds it, unless it is there: whoever makes the node's network may write its
    /// configuration anew.
    pub fn keep(&mut self) {
        let kept = self.put().and_then(|()| self.chain(|text| chain::with(text, &self.settings)));
        match kept {
            Ok(None) => self.told = None,
            Ok(Some(file)) => {
                self.told = None;
                info!("the network of {} has the CNI plugin: pods wait for their policies", file.display());
            }
            Err(error) => {
                if self.told.as_ref() != Some(&error) {
                    warn!(
                        "pods may send before their policies are in force, for the CNI plugin is not in place: {error}"
                    );
                }
                self.told = Some(error);
            }
        }
    }

    /// Takes it out of the network, then off the node.
    ///
    /// # Errors
    /// What hinders that; pods of this node do not start then.
    pub fn remove(&self) -> Result<(), String> {
        // A network that has none of it, or none at all, is no hindrance.
        let is_in = |file: PathBuf| fs::read_to_string(file).is_ok_and(|text| text.contains(NAME));
        if self.network().is_ok_and(is_in) {
            self.chain(chain::without)?;
        }
        match fs::remove_file(self.file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(format!("{}: {error}", self.file().display()))
            }
            _ => Ok(()),
        }
    }

    fn file(&self) -> PathBuf {
        self.config.bin_dir.join(NAME)
    }

    /// The program, which lies beside the agent's own.
    fn put(&mut self) -> Result<(), String> {
        let length = fs::metadata(self.file()).map(|metadata| metadata.len()).ok();
        if self.put.is_some() && self.put == length {
            return Ok(());
        }
        let own = std::env::current_exe().map_err(|error| error.to_string())?.with_file_name(NAME);
        let program = fs::read(&own).map_err(|error| format!("{}: {error}", own.display()))?;
        let file = self.file();
        self.put = Some(program.len() as u64);
        if fs::read(&file).is_ok_and(|there| there == program) {
            return Ok(());
        }
        replace(&file, &program, 0o755)
    }

    /// Changes the network that runtimes take; its file, if it had to be changed.
    fn chain(
        &self,
        change: impl FnOnce(&str) -> Result<Option<String>, String>,
    ) -> Result<Option<PathBuf>, String> {
        let file = self.network()?;
        let wrong = |error: String| format!("{}: {error}", file.display());
        let text = fs::read_to_string(&file).map_err(|error| wrong(error.to_string()))?;
        let Some(changed) = change(&text).map_err(wrong)? else { return Ok(None) };
        replace(&file, changed.as_bytes(), mode(&file))?;
        Ok(Some(file))
    }

    /// The file of the network that runtimes take.
    fn network(&self) -> Result<PathBuf, String> {
        let folder = &self.config.conf_dir;
        let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let names: Vec<_> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let name = chain::chosen(&names)
            .ok_or_else(|| format!("{} has no network yet; it is looked at again", folder.display()))?;
        Ok(folder.join(name))
    }
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).map_or(0o600, |metadata| metadata.permissions().mode() & 0o777)
}

/// A runtime that reads it meanwhile sees the one or the other, whole.
fn replace(file: &Path, bytes: &[u8], mode: u32) -> Result<(), String> {
    let wrong = |error: io::Error| format!("{}: {error}", file.display());
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    // Runtimes pass by what begins with a point.
    let part = file.with_file_name(format!(".{name}.egret"));
    let mut open = fs::File::create(&part).map_err(wrong)?;
    open.write_all(bytes).and_then(|()| open.sync_all()).map_err(wrong)?;
    fs::set_permissions(&part, fs::Permissions::from_mode(mode)).map_err(wrong)?;
    fs::rename(&part, file).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: &str = r#"{"name": "n", "plugins": [{"type": "bridge"}]}"#;

    #[test]
    fn the_plugin_is_chained_kept_and_taken_out_without_a_trace() {
        let folder = tempfile::tempdir().expect("a folder");
        let (bin_dir, conf_dir) = (folder.path().join("bin"), folder.path().join("net.d"));
        for folder in [&bin_dir, &conf_dir] {
            fs::create_dir(folder).expect("made");
        }
        let config = PluginConfig { bin_dir, conf_dir: conf_dir.clone(), exempt: Vec::new() };
        let mut plugin = Plugin::new(config, Path::new("/run/egret/egret.sock"));
        let file = conf_dir.join("10-n.conflist");
        let text = || fs::read_to_string(&file).expect("there");
        assert_eq!(
            plugin.chain(chain::without).map(|_| ()).map_err(|error| error.contains("no network yet")),
            Err(true)
        );
        fs::write(&file, NETWORK).expect("written");
        let chained = |plugin: &Plugin| plugin.chain(|text| chain::with(text, &plugin.settings));
        assert_eq!(chained(&plugin), Ok(Some(file.clone())));
        assert!(text().contains("/run/egret/cni.sock"), "{}", text());
        assert_eq!(chained(&plugin), Ok(None));
        // Whoever makes the network wrote its file anew, as it was.
        fs::write(&file, NETWORK).expect("written");
        assert_eq!(chained(&plugin), Ok(Some(file.clone())));
        fs::write(plugin.file(), "a program").expect("written");
        assert_eq!(plugin.remove(), Ok(()));
        assert!(!text().contains(NAME) && !plugin.file().exists());
        assert_eq!(plugin.remove(), Ok(()), "it may be gone");
        let names: Vec<_> =
            fs::read_dir(&conf_dir).expect("there").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["10-n.conflist"], "nothing is left beside it");
        for other in [Some(r#"{"type": "bridge"}"#), None] {
            match other {
                Some(text) => fs::write(&file, text).expect("written"),
                None => fs::remove_file(&file).expect("removed"),
            }
            assert_eq!(plugin.remove(), Ok(()), "no network has it");
        }
        // What is missing is told, and nothing else happens.
        fs::write(&file, "no JSON").expect("written");
        plugin.keep();
        assert_eq!(text(), "no JSON");
        assert!(plugin.told.is_some());
    }
}
