//! The manual pages, made from the command line's own description: one for the daemon, one for each subcommand.

use std::io;

use clap_mangen::Man;
use roff::{Roff, bold, roman};

use crate::role::Role;

const SECTION: &str = "8";

/// One page.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its file's name.
    pub(crate) file: String,
    /// Its text, in roff.
    pub(crate) text: Vec<u8>,
}

/// All pages of the program that `parser` describes.
pub(crate) fn pages(parser: clap::Command, role: Role) -> io::Result<Vec<Page>> {
    let mut parser = parser.disable_help_subcommand(true);
    parser.build();
    let name = parser.get_name().to_owned();
    let mut pages = vec![page(parser.clone(), &notes(&name, role))?];
    let shown = parser
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    for subcommand in shown {
        pages.push(page(subcommand.clone(), &see_also(&name))?);
    }
    Ok(pages)
}

fn page(command: clap::Command, notes: &Roff) -> io::Result<Page> {
    let man = Man::new(command.version(env!("CARGO_PKG_VERSION")))
        .section(SECTION)
        .manual("IPsec suite");
    let mut text = Vec::new();
    man.render(&mut text)?;
    notes.to_writer(&mut text)?;
    Ok(Page {
        file: man.get_filename(),
        text,
    })
}

/// What the command line does not say of the daemon itself.
fn notes(name: &str, role: Role) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SIGNALS"]);
    tagged(
        &mut roff,
        "SIGHUP",
        "reads the settings again; what they refuse leaves everything as it is",
    );
    tagged(
        &mut roff,
        "SIGTERM, SIGINT",
        "tells every peer goodbye and ends; a second one ends at once",
    );
    roff.control("SH", ["EXIT STATUS"]);
    tagged(&mut roff, "0", "everything went well");
    tagged(
        &mut roff,
        "1",
        "it did not; standard error says what is wrong and what to do",
    );
    tagged(&mut roff, "2", "the command line cannot be understood");
    roff.control("SH", ["ENVIRONMENT"]);
    tagged(
        &mut roff,
        "RUST_LOG",
        "how much is logged: info (the default), or for instance ike_core=debug",
    );
    roff.control("SH", ["FILES"]);
    let settings = format!("/etc/ipsec-trigger/{}.toml", role.name());
    tagged(
        &mut roff,
        &settings,
        "the settings that the systemd unit names",
    );
    let documentation = "/usr/share/doc/ipsec-trigger/";
    tagged(
        &mut roff,
        documentation,
        "every setting (settings.md), and how to begin (operations.md)",
    );
    let socket = format!("/run/ike-{}.sock", role.name());
    tagged(
        &mut roff,
        &socket,
        "the control socket, unless the settings name another",
    );
    roff.extend([see_also(name)]);
    roff
}

fn see_also(name: &str) -> Roff {
    let page = |name: &str| [bold(name), roman(format!("({SECTION})"))];
    let other = if name.ends_with("hub") {
        name.replace("hub", "branch")
    } else {
        name.replace("branch", "hub")
    };
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    let mut line = Vec::from(page(name));
    line.push(roman(", "));
    line.extend(page(&other));
    roff.text(line);
    roff
}

fn tagged(roff: &mut Roff, tag: &str, text: &str) {
    roff.control("TP", []);
    roff.text([bold(tag)]);
    roff.text([roman(text)]);
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;

    #[test]
    fn every_shown_subcommand_has_a_page_under_the_installed_name() {
        let parser = Command::new("ike-hub")
            .about("A hub")
            .subcommand(Command::new("run").about("Run").arg(Arg::new("file")))
            .subcommand(Command::new("secret").hide(true));
        let pages = pages(parser, Role::Hub).unwrap();
        let files: Vec<_> = pages.iter().map(|page| page.file.as_str()).collect();
        assert_eq!(files, ["ike-hub.8", "ike-hub-run.8"]);
        let text = String::from_utf8(pages[0].text.clone()).unwrap();
        assert!(text.contains("ike\\-hub\\-run(8)"), "{text}");
        assert!(
            text.contains("SIGHUP") && text.contains("/etc/ipsec\\-trigger/hub.toml"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
    }
}
