//! Roots in use, replaced without a restart.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::tls::file_watch::WatchedFiles;
use crate::tls::trust_roots::{TrustRoots, TrustRootsError};

/// The roots that chains are judged by from now on.
#[derive(Debug, Clone)]
pub struct LiveRoots(Arc<ArcSwap<TrustRoots>>);

impl LiveRoots {
    /// Returns these roots, to begin with.
    pub fn new(roots: TrustRoots) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(roots)))
    }

    /// Returns the roots of these files, or those of the system if there are none.
    pub fn load(files: &[PathBuf]) -> Result<Self, TrustRootsError> {
        Ok(Self::new(read(files)?))
    }

    /// Returns the roots in use.
    pub fn current(&self) -> TrustRoots {
        TrustRoots::clone(&self.0.load())
    }

    /// Reads these files from now on.
    pub fn replace(&self, files: &[PathBuf]) -> Result<(), TrustRootsError> {
        self.0.store(Arc::new(read(files)?));
        Ok(())
    }

    /// Returns the files, to be watched.
    pub fn watched(&self, subject: &'static str, files: Vec<PathBuf>) -> WatchedFiles {
        let (live, paths) = (self.clone(), files.clone());
        let reload = move || {
            let roots = read(&files).map_err(|error| error.to_string())?;
            if roots.same(&live.0.load()) {
                return Ok(None);
            }
            let changed = format!("{} roots", roots.anchors().len());
            live.0.store(Arc::new(roots));
            Ok(Some(changed))
        };
        WatchedFiles { subject, paths, reload: Arc::new(reload) }
    }
}

fn read(files: &[PathBuf]) -> Result<TrustRoots, TrustRootsError> {
    match files.is_empty() {
        true => Ok(TrustRoots::of_system()),
        false => TrustRoots::from_files(files),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn authority() -> String {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&rcgen::KeyPair::generate().expect("a key")).expect("a CA").pem()
    }

    #[test]
    fn changed_roots_are_taken_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ca.pem");
        fs::write(&file, authority()).expect("written");
        let live = LiveRoots::load(std::slice::from_ref(&file)).expect("roots");
        let watched = live.watched("network.roots", vec![file.clone()]);
        assert_eq!((watched.subject, &watched.paths[..]), ("network.roots", &[file.clone()][..]));
        let before = live.current();
        assert_eq!((watched.reload)(), Ok(None), "nothing changed");
        assert!(live.current().is_clone_of(&before), "verdicts by these roots are kept");
        fs::write(&file, [authority(), authority()].concat()).expect("written");
        assert_eq!((watched.reload)(), Ok(Some("2 roots".to_owned())));
        assert_eq!((live.current().anchors().len(), live.current().same(&before)), (2, false));
        fs::write(&file, "nothing").expect("written");
        assert!((watched.reload)().is_err_and(|why| why.contains("ca.pem")));
        assert_eq!(live.current().anchors().len(), 2, "what was read before stays in use");
    }
}
