//! The forms of the two headers that are read, and those that are refused.

use super::*;

const NONCE: &str = "0123456789abcdef";

fn signed(inside: &str) -> Result<StatedSignature, SignatureFieldsError> {
    let bytes = format!("{LABEL}=:{}:", STANDARD.encode([9; 64]));
    StatedSignature::read(&format!("{LABEL}={inside}"), &bytes).map(|stated| stated.expect("it has the label"))
}

fn params(more: &str) -> String {
    format!("created=1618884473;keyid=\"blue.example/1\";alg=\"ed25519\";nonce=\"{NONCE}\"{more}")
}

const COVERED: &str = "(\"@method\" \"@target-uri\" \"content-digest\")";

#[test]
fn required_form_is_read() {
    let read = signed(&format!("{COVERED};{}", params(";tag=\"x\";expires=1618884773"))).expect("sound");
    assert_eq!(read.components, REQUIRED);
    assert_eq!(
        (read.key.to_string().as_str(), read.created, read.expires),
        ("blue.example/1", 1618884473, Some(1618884773))
    );
    assert_eq!((read.nonce.as_str(), read.bytes), (NONCE, [9; 64]));
    assert_eq!(read.params, format!("{COVERED};{};tag=\"x\";expires=1618884773", params("")));
}

/// The base is built from the list as it is serialized again, so the sender's spaces do not matter.
#[test]
fn spaces_do_not_matter() {
    let plain = signed(&format!("{COVERED};{}", params(""))).expect("sound");
    let spaced = format!("(  \"@method\"   \"@target-uri\" \"content-digest\" ); {}", params("").replace(';', ";  "));
    assert_eq!(signed(&spaced).expect("sound"), plain);
}

#[test]
fn further_labels_are_ignored() {
    let sound = format!("{COVERED};{}", params(""));
    let input = format!("other=(\"x\"), {LABEL}={sound}, {LABEL}x=1, \"\"");
    assert!(StatedSignature::read(&input, "x=:AA==:").is_err());
    let input = format!("other=(\"x\";sf), {LABEL}={sound}, {LABEL}0=1");
    let signature = format!("other=:AA==:, {LABEL}=:{}:", STANDARD.encode([9; 64]));
    assert!(StatedSignature::read(&input, &signature).is_ok_and(|stated| stated.is_some()));
    assert_eq!(StatedSignature::read("other=(\"x\")", "other=:AA==:"), Ok(None), "no proof is offered");
}

#[test]
fn other_forms_are_refused() {
    let with = |list: &str, params: &str| signed(&format!("{list};{params}")).expect_err(list).to_string();
    let sound = params("");
    for (list, why) in [
        ("(\"@method\" \"content-digest\")", "the signature does not cover \"@target-uri\""),
        ("(\"@method\" \"@target-uri\")", "the signature does not cover \"content-digest\""),
        ("(\"@target-uri\" \"content-digest\")", "the signature does not cover \"@method\""),
        ("(\"@method\" \"@method\" \"@target-uri\" \"content-digest\")", "the component \"@method\" is there twice"),
        ("(\"@method\" \"@target-uri\" \"content-digest\";req)", "the component \"content-digest\" has parameters"),
        (
            "(\"@method\" \"@target-uri\" \"content-digest\" \"@status\")",
            "\"@status\" is no component that is supported",
        ),
        ("(\"@method\" \"@target-uri\" \"content-digest\" \"Date\")", "\"Date\" is no component that is supported"),
        ("(\"@method\" \"@target-uri\" \"content-digest\" \"\")", "\"\" is no component that is supported"),
        ("(@method)", "Signature-Input"),
        ("(method)", "a component is no string"),
    ] {
        assert!(with(list, &sound).starts_with(why), "{list}: {}", with(list, &sound));
    }
    for (params, why) in [
        (sound.replace("created=1618884473;", ""), "the signature has no created"),
        (sound.replace("1618884473", "\"1618884473\""), "the parameter created is no integer"),
        (sound.replace("1618884473", "1618884473.5"), "the parameter created is no integer"),
        (sound.replace("1618884473", "@1618884473"), "the parameter created is no integer"),
        (sound.replace(";alg=\"ed25519\"", ""), "the signature has no alg"),
        (sound.replace("ed25519", "hmac-sha256"), "the signature's alg is not \"ed25519\""),
        (sound.replace("\"ed25519\"", "ed25519"), "the parameter alg is no string"),
        (sound.replace("blue.example/1", "blue.example"), "keyid: the name of a key is"),
        (sound.replace(NONCE, "short"), "the nonce has 5 characters; 16 to 128 are required"),
        (sound.replace(NONCE, &"n".repeat(129)), "the nonce has 129 characters"),
        (format!("{sound};expires=x"), "the parameter expires is no integer"),
    ] {
        assert!(with(COVERED, &params).starts_with(why), "{params}: {}", with(COVERED, &params));
    }
    let long = format!("(\"{}\")", "x".repeat(65));
    assert_eq!(with(&long, &sound), "the name of a component has more than 64 characters");
    let many = (0..40).map(|n| format!("\"x-{n}\"")).collect::<Vec<_>>().join(" ");
    assert_eq!(with(&format!("({many})"), &sound), "the signature covers more than 32 components");
}

#[test]
fn label_is_there_exactly_once() {
    let sound = format!("{LABEL}={COVERED};{}", params(""));
    let signature = format!("{LABEL}=:{}:", STANDARD.encode([9; 64]));
    let refused = |input: &str, signature: &str| StatedSignature::read(input, signature).expect_err(input).to_string();
    assert_eq!(refused(&format!("{sound}, {sound}"), &signature), "Signature-Input has sig1 more than once");
    assert_eq!(refused(&sound, &format!("{signature},{signature}")), "Signature has sig1 more than once");
    assert_eq!(refused("", &signature), "Signature-Input has no sig1 with a list of components");
    assert_eq!(refused("sig1=1", &signature), "Signature-Input has no sig1 with a list of components");
    assert_eq!(refused(&sound, ""), "Signature has no sig1 with a byte sequence");
    assert_eq!(refused(&sound, "sig1=(:AA==:)"), "Signature has no sig1 with a byte sequence");
    assert_eq!(refused(&sound, "sig1=:AA==:"), "an Ed25519 signature has 64 bytes");
}

proptest::proptest! {
    #[test]
    fn any_header_value_is_judged(input in "[ -~\\t]{0,200}", signature in "[ -~]{0,120}", list in "[\"@a-z() ;=0-9-]{0,80}") {
        let _ = StatedSignature::read(&input, &signature);
        let sound = format!("{LABEL}=:{}:", STANDARD.encode([9; 64]));
        let _ = StatedSignature::read(&format!("{LABEL}={list}"), &sound);
    }
}
