//! How PostgreSQL takes its log from the archive when an instance is made from a backup.

use k8s_openapi::api::core::v1::EnvVar;

use super::container::env;

/// Name of the script in the ConfigMap of a shard.
pub const RESTORE_WAL_FILE: &str = "restore_wal.sh";
/// The `restore_command`: that of pgBackRest, but for what would lead astray.
pub const RESTORE_WAL: &str = include_str!("restore_wal.sh");

/// Has pgBackRest configure what it restores with the script, which is in a directory. It stays configured.
pub fn restore_command(directory: &str) -> EnvVar {
    let option = format!(r#"restore_command=sh {directory}/{RESTORE_WAL_FILE} "%f" "%p""#);
    env("PGBACKREST_RECOVERY_OPTION", &option)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    /// In place of pgBackRest.
    const PGBACKREST: &str = "pgbackrest() { echo \"$@\"; }\n";

    /// What the script asks of pgBackRest for a file, if it does, in a directory with these timelines' histories.
    fn asked(file: &str, histories: &[(&str, &str)]) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("pg_wal")).unwrap();
        for (name, history) in histories {
            fs::write(directory.path().join("pg_wal").join(name), history).unwrap();
        }
        let script = RESTORE_WAL.replace("exec pgbackrest", "pgbackrest");
        let output = Command::new("sh")
            .args(["-c", &[PGBACKREST, &script].concat(), RESTORE_WAL_FILE, file, "pg_wal/RECOVERYXLOG"])
            .current_dir(&directory)
            .output()
            .unwrap();
        assert_eq!(output.stderr.is_empty(), output.status.success(), "{output:?}");
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn the_archive_is_asked_for_what_there_is_a_copy_of() {
        let older = ("00000002.history", "1\t0/4000000\tno recovery target specified\n");
        let newer = (
            "00000003.history",
            "1\t0/4000000\tno recovery target specified\n\n2\t1/50000A0\tbefore 2026-01-01\n",
        );
        for (file, histories, is_asked) in [
            // Without a history there is one timeline.
            ("000000010000000000000004", &[][..], true),
            // The end of a timeline is in the segment in which the next one begins.
            ("000000020000000100000004", &[older, newer], true),
            ("000000020000000100000005", &[older, newer], false),
            ("000000020000000100000006", &[older, newer], false),
            ("000000020000000200000000", &[older, newer], false),
            ("0000000200000000000000FF", &[older, newer], true),
            // Where it ends with a segment, that one is whole.
            ("000000010000000000000003", &[older, newer], true),
            ("000000010000000000000004", &[older, newer], false),
            // Its own, and later ones.
            ("000000030000000100000005", &[older, newer], true),
            ("000000040000000100000005", &[older, newer], true),
            // The newest history is the one that counts.
            ("000000020000000100000005", &[older], true),
            // What is no segment.
            ("00000002.history", &[older, newer], true),
            ("000000020000000100000005.partial", &[older, newer], true),
            ("000000020000000100000005.00000028.backup", &[older, newer], true),
        ] {
            let asked = asked(file, histories);
            let expected = format!(
                "--stanza=multigres --config=/data/pgbackrest/pgbackrest.conf archive-get {file} pg_wal/RECOVERYXLOG\n"
            );
            assert_eq!(asked, is_asked.then_some(expected), "{file}");
        }
    }

    #[test]
    fn postgresql_names_the_file() {
        let option = restore_command("/etc/pgctld");
        assert_eq!(option.value.unwrap(), r#"restore_command=sh /etc/pgctld/restore_wal.sh "%f" "%p""#);
    }
}
