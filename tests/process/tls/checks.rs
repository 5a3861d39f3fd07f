//! `fernpost check tls`: sound and unsound pairs and roots.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::fixtures::checks::Checked;
use crate::fixtures::node::GatewayProcess;
use crate::tls::authority::{FileAuthority, LeafKind};

#[tokio::test]
async fn check_tls_names_each_fault() {
    let mut red = GatewayProcess::new("red.example");
    let authority = FileAuthority::new();
    let ca = authority.write(red.folder());
    let roots = format!("network.roots=[\"{}\"]", ca.display());
    let checked = Checked::run(&red, &["tls"], &[&roots]).await;
    assert_eq!((checked.exit, checked.about("federation.tls")), (0, vec!["info".to_owned()]), "{}", checked.words);

    let pair = authority.issue(red.folder(), "red", &["red.example"], LeafKind::Usual);
    red.tls("federation", &pair.cert, &pair.key);
    red.tls("admin", &pair.cert, &pair.key);
    let checked = Checked::run(&red, &["tls"], &[&roots]).await;
    for subject in ["network.roots", "federation.tls", "messenger.tls", "admin.tls"] {
        assert_eq!(checked.about(subject), ["info"], "{}", checked.words);
    }
    assert!(checked.words.contains("fine: tls federation.tls: the certificate of red.example is valid for "));
    let elsewhere = Checked::run(&red, &["tls"], &[]).await;
    assert_eq!(
        (elsewhere.exit, elsewhere.about("admin.tls")),
        (0, vec!["warning CERTIFICATE_UNKNOWN_ISSUER".to_owned()])
    );

    for (names, kind, exit, expected) in [
        (["red.example"], LeafKind::Expired, 1, "error CERTIFICATE_EXPIRED"),
        (["red.example"], LeafKind::NotYetValid, 1, "error CERTIFICATE_NOT_YET_VALID"),
        (["red.example"], LeafKind::Authority, 1, "error CERTIFICATE_IS_A_CA"),
        (["red.example"], LeafKind::CodeSigning, 1, "error CERTIFICATE_WRONG_PURPOSE"),
        (["blue.example"], LeafKind::Usual, 1, "error CERTIFICATE_WRONG_NAME"),
        (["red.example"], LeafKind::EndsSoon, 0, "warning CERTIFICATE_ENDS_SOON"),
    ] {
        authority.issue(red.folder(), "red", &names, kind);
        let checked = Checked::run(&red, &["tls"], &[&roots]).await;
        assert_eq!((checked.exit, checked.about("federation.tls")), (exit, vec![expected.to_owned()]));
        let level = expected.split(' ').next().expect("a level");
        assert!(checked.words.contains(&format!("{level}: tls federation.tls: ")), "{}", checked.words);
        assert!(checked.words.contains("\n  "), "it says what to do: {}", checked.words);
    }

    authority.issue(red.folder(), "red", &["red.example"], LeafKind::Usual);
    fs::set_permissions(&pair.key, PermissionsExt::from_mode(0o644)).expect("it is ours");
    let checked = Checked::run(&red, &["tls"], &[&roots]).await;
    assert_eq!((checked.exit, checked.about("admin.tls")), (1, vec!["error OPEN_MODE".to_owned(), "info".to_owned()]));
    assert!(checked.words.contains(&format!("\n  chmod o= {}\n", pair.key.display())), "{}", checked.words);
    let allowed = Checked::run(&red, &["tls"], &[&roots, "server.allow_open_secrets=true"]).await;
    assert_eq!((allowed.exit, &*allowed.about("admin.tls")[0]), (0, "warning OPEN_MODE"));

    let other = authority.issue(red.folder(), "other", &["red.example"], LeafKind::Usual);
    fs::copy(&other.key, &pair.key).expect("copied");
    let mixed = Checked::run(&red, &["tls"], &[&roots]).await;
    assert!(mixed.exit == 1 && mixed.about("federation.tls").contains(&"error KEY_MISMATCH".to_owned()));
    fs::remove_file(&pair.key).expect("it is ours");
    fs::write(&ca, "no certificate").expect("it is ours");
    let client_ca = format!("federation.tls.client_ca={}", ca.display());
    let gone = Checked::run(&red, &["tls"], &[&client_ca]).await;
    assert_eq!((gone.exit, gone.about("admin.tls")), (1, vec!["error UNREADABLE".to_owned()]));
    assert_eq!(gone.about("client_ca"), ["error BAD_ROOTS"]);
}
