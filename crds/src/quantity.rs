//! Kubernetes quantities, compared by value: `2048Mi` = `2Gi`.
//!
//! The grammar is that of `k8s.io/apimachinery/pkg/api/resource`, accepted exactly, since what is admitted must be
//! accepted by the API server later on. (The published crates for it read through `f64` and accept `nan`.)

use std::borrow::Cow;

use compact_str::{CompactString, ToCompactString};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

/// A quantity as its author wrote it, in place: hardly any is longer than a pointer, its length and its capacity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quantity(pub CompactString);

/// The value of a quantity in billionths, the smallest unit that Kubernetes knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanos(pub i128);

impl Quantity {
    /// The value, or nothing where the text is no quantity.
    pub fn value(&self) -> Option<Nanos> {
        parse(&self.0)
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<&Quantity> for k8s_openapi::apimachinery::pkg::api::resource::Quantity {
    fn from(quantity: &Quantity) -> Self {
        Self(quantity.0.to_string())
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StringOrInteger;
        impl Visitor<'_> for StringOrInteger {
            type Value = Quantity;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a quantity such as \"500m\", \"2Gi\" or 1")
            }
            fn visit_i64<E: Error>(self, v: i64) -> Result<Quantity, E> {
                Ok(Quantity(v.to_compact_string()))
            }
            fn visit_u64<E: Error>(self, v: u64) -> Result<Quantity, E> {
                Ok(Quantity(v.to_compact_string()))
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<Quantity, E> {
                Ok(Quantity(v.into()))
            }
        }
        deserializer.deserialize_any(StringOrInteger)
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}] })
    }
}

/// Parses `<signedNumber><suffix>`, rounding up what is finer than a billionth and capping what is larger than
/// `i64`, as Kubernetes does.
pub fn parse(text: &str) -> Option<Nanos> {
    short(text).or_else(|| any(text))
}

/// The value of what nearly every quantity is: few digits and a suffix.
fn short(text: &str) -> Option<Nanos> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=9).contains(&digits) {
        return None;
    }
    let (number, suffix) = text.split_at(digits);
    let factor: u64 = match suffix {
        "m" => 1_000_000,
        "" => 1_000_000_000,
        "Ki" => 1_000_000_000 << 10,
        "Mi" => 1_000_000_000 << 20,
        "Gi" => 1_000_000_000 << 30,
        _ => return None,
    };
    let units = number.bytes().fold(0, |units, digit| units * 10 + u64::from(digit - b'0'));
    Some(Nanos(i128::from(units) * i128::from(factor)))
}

fn any(text: &str) -> Option<Nanos> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = unsigned.bytes().position(|c| !c.is_ascii_digit() && c != b'.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let digits = if fraction.is_empty() { whole.into() } else { Cow::from([whole, fraction].concat()) };
    let scale = Scale::of_suffix(suffix)?.shifted_right(fraction.len());
    let nanos = scale.nanos(digits.trim_start_matches('0'));
    Some(Nanos(if negative { -nanos } else { nanos }))
}

/// The factor that a suffix stands for: `1024^binary · 10^decimal`.
#[derive(Clone, Copy)]
struct Scale {
    binary: u32,
    decimal: i64,
}

/// Kubernetes caps quantities at `i64::MAX` units.
const CAP: i128 = i64::MAX as i128 * NANOS_PER_UNIT;
const NANOS_PER_UNIT: i128 = 1_000_000_000;

impl Scale {
    fn of_suffix(suffix: &str) -> Option<Self> {
        let (binary, decimal) = match suffix {
            "Ki" => (1, 0),
            "Mi" => (2, 0),
            "Gi" => (3, 0),
            "Ti" => (4, 0),
            "Pi" => (5, 0),
            "Ei" => (6, 0),
            "n" => (0, -9),
            "u" => (0, -6),
            "m" => (0, -3),
            "" => (0, 0),
            "k" => (0, 3),
            "M" => (0, 6),
            "G" => (0, 9),
            "T" => (0, 12),
            "P" => (0, 15),
            "E" => (0, 18),
            exponent => (0, exponent.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?.into()),
        };
        Some(Self { binary, decimal })
    }

    fn shifted_right(self, places: usize) -> Self {
        Self { decimal: self.decimal.saturating_sub(i64::try_from(places).unwrap_or(i64::MAX)), ..self }
    }

    /// `digits` (without leading zeros) times this factor, in billionths.
    fn nanos(self, digits: &str) -> i128 {
        if digits.is_empty() {
            return 0;
        }
        // 30 digits and more are beyond the cap however they are scaled down to it, unless the exponent is as low.
        let exponent = self.decimal.saturating_add(9);
        let magnitude = exponent.saturating_add(i64::try_from(digits.len()).unwrap_or(i64::MAX));
        if magnitude > 30 {
            return CAP;
        }
        if magnitude < -18 {
            return 1;
        }
        let factor = 1024_i128.pow(self.binary);
        let (kept, dropped) = digits.split_at(digits.len().min(28));
        let Ok(mantissa) = kept.parse::<i128>() else { return CAP };
        let exponent = exponent.saturating_add(i64::try_from(dropped.len()).unwrap_or(i64::MAX));
        let power = 10_i128.checked_pow(u32::try_from(exponent.unsigned_abs()).unwrap_or(u32::MAX));
        let inexact = dropped.bytes().any(|digit| digit != b'0');
        let scaled = match mantissa.checked_mul(factor) {
            None => return CAP,
            Some(product) if exponent >= 0 => power.and_then(|power| product.checked_mul(power)),
            Some(product) => match power {
                Some(divisor) => Some(product / divisor + i128::from(product % divisor != 0 || inexact)),
                None => Some(1),
            },
        };
        scaled.map_or(CAP, |nanos| nanos.min(CAP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for (text, nanos) in [
            ("0", 0),
            ("0.00e-2147483647", 0),
            ("0.1e-2147483648", 1),
            ("1", NANOS_PER_UNIT),
            ("+1", NANOS_PER_UNIT),
            ("-1", -NANOS_PER_UNIT),
            ("500m", NANOS_PER_UNIT / 2),
            (".5", NANOS_PER_UNIT / 2),
            ("5.", 5 * NANOS_PER_UNIT),
            ("1.5Gi", 1536 * 1024 * 1024 * NANOS_PER_UNIT),
            ("2048Mi", 2 * 1024 * 1024 * 1024 * NANOS_PER_UNIT),
            ("1e3", 1000 * NANOS_PER_UNIT),
            ("1E-3", NANOS_PER_UNIT / 1000),
            ("1E", 1_000_000_000_000_000_000 * NANOS_PER_UNIT),
            ("0.1n", 1),
            ("9223372036854775808", CAP),
            ("100Ei", CAP),
            ("1e400", CAP),
            ("0e400", 0),
        ] {
            assert_eq!(parse(text), Some(Nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn not_quantities() {
        for text in [
            "", "-", "+", ".", "Gi", "1Gb", "1 Gi", "1.2.3", "0x10", "nan", "inf", "1e", "1e1.5", "--1",
            "1Ki1",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(text in ".*") {
            let _ = parse(&text);
        }

        #[test]
        fn few_digits_and_many_are_equal_with_exponents(few in 0_u32..1_000_000_000, decimal in -9_i32..=9) {
            let many = format!("{few}{:0<20}e{}", "", decimal - 20);
            proptest::prop_assert_eq!(parse(&format!("{few}e{decimal}")), parse(&many));
        }

        /// The parser for few digits and the one for any number of digits agree on every suffix.
        #[test]
        fn few_digits_and_many_are_equal(few in 0_u32..1_000_000_000, suffix in "[numkMGTPE]|[KMGTPE]i|") {
            let many = format!("{:0<20}{few}{suffix}", "");
            proptest::prop_assert_eq!(parse(&format!("{few}{suffix}")), parse(&many));
        }

        #[test]
        fn binary_and_plain_spellings_are_equal(mebibytes in 0_i64..1_000_000) {
            let bytes = (mebibytes * 1024 * 1024).to_string();
            proptest::prop_assert_eq!(parse(&format!("{mebibytes}Mi")), parse(&bytes));
        }
    }
}
