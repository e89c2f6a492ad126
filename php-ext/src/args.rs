//! The arguments of a running function, read as PHP's own functions read theirs: "5" is 5 and 5 is "5" unless the
//! caller declared strict_types, objects with `__toString` are strings, and errors are in PHP's words. ext-php-rs
//! converts strictly only.

use crate::exception::Failure;
use crate::zend;
use ext_php_rs::ffi;
use ext_php_rs::types::{ZendHashTable, Zval};
use ext_php_rs::zend::ExecuteData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

/// What a function gives: its result is written to its slot, or it fails.
pub(crate) type Outcome = Result<(), Failure>;

/// Runs the body of a function that PHP called. Neither a panic nor a failure goes further than here.
#[inline]
pub(crate) fn run(frame: &mut ExecuteData, body: impl FnOnce(&Args) -> Outcome) {
    match catch_unwind(AssertUnwindSafe(|| body(&Args::of(frame)))) {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => failure.throw(),
        // The panic hook has printed where.
        Err(_) => Failure::Exception("internal error, please report it".into(), 0).throw(),
    }
}

/// The arguments of one call. They are counted from 1, as in PHP's messages.
pub(crate) struct Args {
    frame: *const ExecuteData,
    first: *mut Zval,
    given: u32,
}

impl Args {
    #[inline]
    fn of(frame: &mut ExecuteData) -> Self {
        // Arguments follow the frame's head, at the next multiple of a value's size.
        const HEAD: usize = size_of::<ExecuteData>().div_ceil(size_of::<Zval>());
        // SAFETY: PHP lays out every call frame so.
        unsafe {
            let given = frame.This.u2.num_args;
            Args { frame, first: ptr::from_mut(frame).cast::<Zval>().add(HEAD), given }
        }
    }

    /// The name of the function that runs.
    pub(crate) fn function(&self) -> String {
        // SAFETY: the frame of a running function has the function, and that one of ours has a name.
        let name = unsafe { zend::bytes_of((*(*self.frame).func).common.function_name) };
        String::from_utf8_lossy(name).into_owned()
    }

    /// Raises PHP's `ArgumentCountError` if there are fewer or more.
    #[inline]
    pub(crate) fn count(&self, least: u32, most: u32) -> Outcome {
        if self.given < least || self.given > most {
            // SAFETY: a function of ours is running; the error names it.
            unsafe { ffi::zend_wrong_parameters_count_error(least, most) };
            return Err(Failure::Raised);
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn int(&self, number: u32) -> Result<i64, Failure> {
        let zval = self.value(number);
        if let Some(int) = zval.long() {
            return Ok(int);
        }
        let mut int = 0;
        // SAFETY: the value is the frame's; PHP converts into `int`, or says false having raised or not.
        let sound = unsafe { ffi::zend_parse_arg_long_slow(ptr::from_mut(zval), &mut int, number) };
        self.converted(sound, number, ffi::_zend_expected_type_Z_EXPECTED_LONG).map(|()| int)
    }

    #[inline]
    pub(crate) fn int_or(&self, number: u32, default: i64) -> Result<i64, Failure> {
        if number > self.given { Ok(default) } else { self.int(number) }
    }

    #[inline]
    pub(crate) fn bool_or(&self, number: u32, default: bool) -> Result<bool, Failure> {
        if number > self.given {
            return Ok(default);
        }
        let zval = self.value(number);
        if let Some(bool) = zval.bool() {
            return Ok(bool);
        }
        let mut bool = false;
        // SAFETY: as in `int`.
        let sound = unsafe { ffi::zend_parse_arg_bool_slow(ptr::from_mut(zval), &mut bool, number) };
        self.converted(sound, number, ffi::_zend_expected_type_Z_EXPECTED_BOOL).map(|()| bool)
    }

    pub(crate) fn float_or(&self, number: u32, default: f64) -> Result<f64, Failure> {
        if number > self.given {
            return Ok(default);
        }
        self.float(number, ffi::_zend_expected_type_Z_EXPECTED_DOUBLE)
    }

    /// None when it is null or not given.
    pub(crate) fn float_or_null(&self, number: u32) -> Result<Option<f64>, Failure> {
        if number > self.given || self.value(number).is_null() {
            return Ok(None);
        }
        self.float(number, ffi::_zend_expected_type_Z_EXPECTED_DOUBLE_OR_NULL).map(Some)
    }

    fn float(&self, number: u32, expected: ffi::_zend_expected_type) -> Result<f64, Failure> {
        let zval = self.value(number);
        if let Some(float) = zval.double() {
            return Ok(float);
        }
        let mut float = 0.0;
        // SAFETY: as in `int`.
        let sound = unsafe { ffi::zend_parse_arg_double_slow(ptr::from_mut(zval), &mut float, number) };
        self.converted(sound, number, expected).map(|()| float)
    }

    /// The bytes of a string, valid UTF-8 or not, with NULs or without; no copy.
    #[inline]
    pub(crate) fn bytes(&self, number: u32) -> Result<&[u8], Failure> {
        self.bytes_as(number, ffi::_zend_expected_type_Z_EXPECTED_STRING)
    }

    #[inline]
    pub(crate) fn bytes_or<'a>(&'a self, number: u32, default: &'a [u8]) -> Result<&'a [u8], Failure> {
        if number > self.given { Ok(default) } else { self.bytes(number) }
    }

    /// None when it is null or not given.
    pub(crate) fn bytes_or_null(&self, number: u32) -> Result<Option<&[u8]>, Failure> {
        if number > self.given || self.value(number).is_null() {
            return Ok(None);
        }
        self.bytes_as(number, ffi::_zend_expected_type_Z_EXPECTED_STRING_OR_NULL).map(Some)
    }

    /// None when it is not given.
    pub(crate) fn array_or_bytes(&self, number: u32) -> Result<Option<ArrayOrBytes<'_>>, Failure> {
        if number > self.given {
            return Ok(None);
        }
        if let Some(array) = self.value(number).array() {
            return Ok(Some(ArrayOrBytes::Array(array)));
        }
        let expected = ffi::_zend_expected_type_Z_EXPECTED_ARRAY_OR_STRING;
        self.bytes_as(number, expected).map(|bytes| Some(ArrayOrBytes::Bytes(bytes)))
    }

    /// None when it is not given.
    pub(crate) fn array(&self, number: u32) -> Result<Option<&ZendHashTable>, Failure> {
        if number > self.given {
            return Ok(None);
        }
        let array = self.value(number).array();
        self.converted(array.is_some(), number, ffi::_zend_expected_type_Z_EXPECTED_ARRAY).map(|()| array)
    }

    #[inline]
    fn bytes_as(&self, number: u32, expected: ffi::_zend_expected_type) -> Result<&[u8], Failure> {
        let zval = self.value(number);
        if !zval.is_string() {
            let mut string = ptr::null_mut();
            // SAFETY: as in `int`. The frame's value is converted in place, and the frame owns and releases it.
            let sound = unsafe { ffi::zend_parse_arg_str_slow(ptr::from_mut(zval), &mut string, number) };
            self.converted(sound, number, expected)?;
        }
        // SAFETY: a string now, and the frame's, which outlives `self`.
        Ok(unsafe { zend::bytes_of(zval.value.str_) })
    }

    /// What was given, references followed. Only for numbers that were given.
    #[inline]
    #[allow(clippy::mut_from_ref)]
    fn value(&self, number: u32) -> &mut Zval {
        debug_assert!(number >= 1 && number <= self.given);
        // SAFETY: within the arguments of the frame, which nobody else uses while the function runs.
        unsafe { (*self.first.add(number as usize - 1)).dereference_mut() }
    }

    /// Raises PHP's `TypeError` unless a conversion succeeded or has raised something itself.
    #[inline]
    fn converted(&self, sound: bool, number: u32, expected: ffi::_zend_expected_type) -> Outcome {
        if sound {
            return Ok(());
        }
        if !zend::exception_pending() {
            // SAFETY: a function of ours is running; the error names it and the type of the value.
            unsafe { ffi::zend_wrong_parameter_type_error(number, expected, self.value(number)) };
        }
        Err(Failure::Raised)
    }
}

/// The text of a string argument.
pub(crate) fn text(number: u32, bytes: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(bytes).map_err(|_| Failure::Value(number, "must be valid UTF-8".into()))
}

/// An argument of type `array|string`.
pub(crate) enum ArrayOrBytes<'a> {
    Array(&'a ZendHashTable),
    Bytes(&'a [u8]),
}
