//! The corners of the Zend Engine that ext-php-rs leaves bare: values and arrays written in place, classes whose
//! objects are filled by slot, strings that live as long as the process. Nothing here knows the engine.

use ext_php_rs::alloc::emalloc;
use ext_php_rs::builders::FunctionBuilder;
use ext_php_rs::ffi;
use ext_php_rs::types::Zval;
use ext_php_rs::zend::{ExecuteData, FunctionEntry};
use std::alloc::Layout;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

pub(crate) type ClassEntry = ffi::zend_class_entry;
pub(crate) type Bytes = ffi::zend_string;

/// A pointer that module startup sets and that stays valid while the module is loaded.
pub(crate) struct Permanent<T>(AtomicPtr<T>);

impl<T> Permanent<T> {
    pub(crate) const fn new() -> Self {
        Permanent(AtomicPtr::new(ptr::null_mut()))
    }

    pub(crate) fn set(&self, value: *mut T) {
        self.0.store(value, Ordering::Release);
    }

    #[inline]
    pub(crate) fn get(&self) -> *mut T {
        self.0.load(Ordering::Acquire)
    }
}

/// A string that PHP keeps for the life of the process. Only for module startup.
pub(crate) fn interned(text: &str) -> *mut Bytes {
    // SAFETY: PHP sets the function pointer before it starts any module; the text is copied.
    unsafe {
        match ffi::zend_string_init_interned {
            Some(intern) => intern(text.as_ptr().cast(), text.len(), true),
            None => ffi::ext_php_rs_zend_string_init(text.as_ptr().cast(), text.len(), true),
        }
    }
}

/// What PHP marks strings with that belong to one script: their type, and that they have no references to others.
const OWN_STRING: u32 = ffi::IS_STRING | 1 << 4;
/// Longer strings are copied in pieces of this size, see [`string_in_pieces`].
const PIECE_BYTES: usize = 2048;

/// A new string with these bytes.
#[inline]
pub(crate) fn string(bytes: &[u8]) -> *mut Bytes {
    if bytes.len() > PIECE_BYTES
        && let Some(string) = string_in_pieces(bytes)
    {
        return string;
    }
    // SAFETY: the bytes are copied; PHP's allocator never returns null, it ends the script instead.
    unsafe { ffi::ext_php_rs_zend_string_init(bytes.as_ptr().cast(), bytes.len(), false) }
}

/// The same by copying in pieces: in one, the C library uses an instruction that takes 20 µs for 64 KiB on AMD's Zen 3 and
/// 4, instead of 1.3, when the target lies a few bytes behind the source (sourceware.org, bug 30994). PHP's strings begin
/// 24 bytes behind a page, our buffers 16 bytes.
fn string_in_pieces(bytes: &[u8]) -> Option<*mut Bytes> {
    let size = std::mem::offset_of!(Bytes, val) + bytes.len() + 1;
    // PHP sizes the memory of a string in steps of 8 bytes.
    let layout = Layout::from_size_align(size.next_multiple_of(8), align_of::<Bytes>()).ok()?;
    let string: *mut Bytes = emalloc(layout).cast();
    // SAFETY: PHP's allocator never returns null, it ends the script instead, and the memory is large and aligned enough:
    // a head, the bytes, a NUL behind them. Nobody else knows of it yet, and each field is written.
    unsafe {
        (*string).gc.refcount = 1;
        (*string).gc.u.type_info = OWN_STRING;
        (*string).h = 0;
        (*string).len = bytes.len();
        let mut to: *mut u8 = (&raw mut (*string).val).cast();
        for piece in bytes.chunks(PIECE_BYTES) {
            to.copy_from_nonoverlapping(piece.as_ptr(), piece.len());
            to = to.add(piece.len());
        }
        to.write(0);
    }
    Some(string)
}

/// The bytes of a string. They live as long as someone holds a reference to it.
///
/// # Safety
/// `string` is a live string, and stays so for `'a`.
#[inline]
pub(crate) unsafe fn bytes_of<'a>(string: *const Bytes) -> &'a [u8] {
    // SAFETY: a live string has `len` bytes from `val` on.
    unsafe { std::slice::from_raw_parts((&raw const (*string).val).cast(), (*string).len) }
}

/// A place for a value that holds nothing which must be released: a fresh slot or a null.
pub(crate) struct Slot<'a> {
    zval: *mut Zval,
    place: PhantomData<&'a mut Zval>,
}

impl<'a> Slot<'a> {
    /// # Safety
    /// `zval` is writable for `'a` and what it holds needs no release.
    #[inline]
    pub(crate) unsafe fn at(zval: *mut Zval) -> Self {
        Slot { zval, place: PhantomData }
    }

    /// A value that is null, such as the result of a function when it is called.
    #[inline]
    pub(crate) fn of(zval: &'a mut Zval) -> Self {
        Slot { zval, place: PhantomData }
    }

    #[inline]
    fn write(self, type_info: u32, value: ffi::zend_value) {
        // SAFETY: the slot is writable and holds nothing to release, as its constructors demand.
        unsafe {
            (*self.zval).value = value;
            (*self.zval).u1.type_info = type_info;
        }
    }

    #[inline]
    pub(crate) fn null(self) {
        self.write(ffi::IS_NULL, ffi::zend_value { lval: 0 });
    }

    #[inline]
    pub(crate) fn bool(self, value: bool) {
        self.write(if value { ffi::IS_TRUE } else { ffi::IS_FALSE }, ffi::zend_value { lval: 0 });
    }

    #[inline]
    pub(crate) fn int(self, value: i64) {
        self.write(ffi::IS_LONG, ffi::zend_value { lval: value });
    }

    #[inline]
    pub(crate) fn interned(self, string: *mut Bytes) {
        self.write(ffi::IS_INTERNED_STRING_EX, ffi::zend_value { str_: string });
    }

    /// Takes over a reference to a string that [`string`] made.
    #[inline]
    pub(crate) fn string(self, string: *mut Bytes) {
        // SAFETY: a live string. PHP shares the strings of no or one byte, which are interned.
        let len = unsafe { (*string).len };
        let type_info = if len <= 1 { ffi::IS_INTERNED_STRING_EX } else { ffi::IS_STRING_EX };
        self.write(type_info, ffi::zend_value { str_: string });
    }

    /// The same, or null.
    #[inline]
    pub(crate) fn string_or_null(self, string: Option<*mut Bytes>) {
        match string {
            Some(string) => self.string(string),
            None => self.null(),
        }
    }

    #[inline]
    pub(crate) fn bytes(self, bytes: &[u8]) {
        self.string(string(bytes));
    }

    /// The empty array that PHP shares.
    #[inline]
    pub(crate) fn empty_array(self) {
        // Without the flag of a counted value nobody frees it.
        let empty = &raw const ffi::zend_empty_array;
        self.write(ffi::IS_ARRAY, ffi::zend_value { arr: empty.cast_mut() });
    }

    #[inline]
    fn array(self, array: *mut ffi::HashTable) {
        self.write(ffi::IS_ARRAY_EX, ffi::zend_value { arr: array });
    }

    /// Moves a value here.
    #[inline]
    pub(crate) fn take(self, value: Zval) {
        // SAFETY: as in `write`; the value is moved, not copied.
        unsafe { self.zval.write(value) };
    }

    #[inline]
    fn object(self, object: *mut ffi::zend_object) {
        self.write(ffi::IS_OBJECT_EX, ffi::zend_value { obj: object });
    }
}

/// A PHP list that is being filled. It belongs to PHP from the start, so that a fatal error on the way loses
/// nothing.
pub(crate) struct List(*mut ffi::HashTable);

impl List {
    /// An empty list with room for `capacity` values, written to `slot`.
    #[inline]
    pub(crate) fn new(capacity: usize, slot: Slot<'_>) -> Self {
        // SAFETY: a new array, made a packed one before anything is in it.
        let array = unsafe {
            let array = ffi::_zend_new_array(u32::try_from(capacity).unwrap_or(u32::MAX));
            ffi::zend_hash_real_init_packed(array);
            array
        };
        slot.array(array);
        List(array)
    }

    /// Appends what `write` puts into the slot it is given. PHP is told of the value when it is whole.
    #[inline]
    pub(crate) fn push(&mut self, write: impl FnOnce(Slot<'_>)) {
        // SAFETY: a live packed array; a used slot below nTableSize is allocated. Growing goes through PHP.
        unsafe {
            let list = self.0;
            let used = (*list).nNumUsed;
            if used < (*list).nTableSize {
                let slot = (*list).__bindgen_anon_1.arPacked.add(used as usize);
                write(Slot::at(slot));
                (*list).nNumUsed = used + 1;
                (*list).nNumOfElements = used + 1;
                (*list).nNextFreeElement = i64::from(used) + 1;
            } else {
                let mut value = Zval::null();
                write(Slot::at(&mut value));
                ffi::zend_hash_next_index_insert(list, &mut value);
                // The array has taken the reference over.
                std::mem::forget(value);
            }
        }
    }
}

/// A new array with string keys; keys that are decimal numbers become ints, as in PHP code.
pub(crate) fn map<K: AsRef<str>>(entries: impl Iterator<Item = (K, Entry)>, slot: Slot<'_>) {
    let mut array = ext_php_rs::types::ZendHashTable::new();
    for (key, entry) in entries {
        let key = key.as_ref();
        // Inserting fails only for values that cannot be converted; these can.
        let _ = match entry {
            Entry::Int(value) => array.insert(key, value),
            Entry::Bytes(value) => array.insert(key, ext_php_rs::binary::Binary::from(value)),
        };
    }
    slot.array(array.into_raw());
}

/// A value of a [`map`].
pub(crate) enum Entry {
    Int(i64),
    Bytes(Vec<u8>),
}

/// A new object of `class` with all its declared properties filled in order. `fill` must not call into PHP:
/// until all are written the object is not sound.
#[inline]
pub(crate) fn object<const N: usize>(
    class: *mut ClassEntry,
    fill: impl FnOnce([Slot<'_>; N]),
    slot: Slot<'_>,
) {
    // SAFETY: `class` was registered by `readonly_class` with N properties and no code of its own, so an object
    // has N slots, not initialised yet. `u2` holds the flags of a property: none, it is set.
    unsafe {
        debug_assert_eq!((*class).default_properties_count as usize, N);
        let object = ffi::zend_objects_new(class);
        let first = (*object).properties_table.as_mut_ptr();
        let slots = std::array::from_fn(|i| {
            let property = first.add(i);
            (*property).u2.next = 0;
            Slot::at(property)
        });
        fill(slots);
        slot.object(object);
    }
}

/// The type of a declared property.
pub(crate) enum Type {
    /// Types of the language, as bits `1 << IS_…`.
    Builtin(u32),
    /// A class, or null.
    ClassOrNull(&'static str),
}

impl Type {
    pub(crate) const STRING: Type = Type::Builtin(1 << ffi::IS_STRING);
    pub(crate) const STRING_OR_NULL: Type = Type::Builtin(1 << ffi::IS_STRING | 1 << ffi::IS_NULL);
    pub(crate) const INT: Type = Type::Builtin(1 << ffi::IS_LONG);
    pub(crate) const BOOL: Type = Type::Builtin(1 << ffi::IS_FALSE | 1 << ffi::IS_TRUE);
    pub(crate) const ARRAY: Type = Type::Builtin(1 << ffi::IS_ARRAY);
}

/// Registers a final class whose properties are public, typed and readonly, and of which only this extension
/// makes objects. Only for module startup.
pub(crate) fn readonly_class(name: &str, properties: &[(&str, Type)]) -> *mut ClassEntry {
    let class = register_class(name, ptr::null_mut(), no_construction());
    for (property, kind) in properties {
        let kind = match kind {
            Type::Builtin(mask) => ffi::zend_type { ptr: ptr::null_mut(), type_mask: *mask },
            Type::ClassOrNull(class) => ffi::zend_type {
                ptr: interned(class).cast(),
                type_mask: ffi::_ZEND_TYPE_NAME_BIT | ffi::_ZEND_TYPE_NULLABLE_BIT,
            },
        };
        let mut unset = Zval::null();
        unset.u1.type_info = ffi::IS_UNDEF;
        let flags = (ffi::ZEND_ACC_PUBLIC | ffi::ZEND_ACC_READONLY) as i32;
        // SAFETY: a class that was just registered, permanent strings, and no default value, as readonly demands.
        unsafe {
            ffi::zend_declare_typed_property(
                class,
                interned(property),
                &mut unset,
                flags,
                ptr::null_mut(),
                kind,
            );
        }
    }
    // SAFETY: nobody has used the class yet.
    unsafe {
        (*class).ce_flags |=
            ffi::ZEND_ACC_FINAL | ffi::ZEND_ACC_NO_DYNAMIC_PROPERTIES | ffi::ZEND_ACC_NOT_SERIALIZABLE;
    }
    class
}

/// Registers a class that has nothing but what it inherits; userland may extend it. Only for module startup.
pub(crate) fn plain_subclass(name: &str, parent: *mut ClassEntry) -> *mut ClassEntry {
    register_class(name, parent, ptr::null())
}

/// Gives a class a constant that is a string. Only for module startup.
pub(crate) fn string_constant(class: *mut ClassEntry, name: &str, value: *mut Bytes) {
    let mut zval = Zval::null();
    // SAFETY: the zval holds a null; the class was just registered and the strings are permanent.
    unsafe {
        Slot::at(&mut zval).interned(value);
        let flags = ffi::ZEND_ACC_PUBLIC as i32;
        ffi::zend_declare_class_constant_ex(class, interned(name), &mut zval, flags, ptr::null_mut());
    }
}

fn register_class(name: &str, parent: *mut ClassEntry, methods: *const FunctionEntry) -> *mut ClassEntry {
    // SAFETY: all zeros is an empty class; PHP copies it, reads the methods and keeps the permanent name.
    unsafe {
        let mut class: ClassEntry = std::mem::zeroed();
        class.name = interned(name);
        class.info.internal.builtin_functions = methods;
        ffi::zend_register_internal_class_ex(&mut class, parent)
    }
}

/// The methods of a class that scripts cannot make objects of: a private constructor.
fn no_construction() -> *const FunctionEntry {
    extern "C" fn nothing(_: &mut ExecuteData, _: &mut Zval) {}
    // PHP refers to the table for the life of the process.
    static METHODS: Permanent<FunctionEntry> = Permanent::new();
    if METHODS.get().is_null() {
        let Ok((mut entry, arg_info)) = FunctionBuilder::constructor(nothing).build() else {
            return ptr::null();
        };
        entry.flags = ffi::ZEND_ACC_PRIVATE;
        Box::leak(arg_info);
        METHODS.set(Box::leak(Box::new([entry, FunctionEntry::end()])).as_mut_ptr());
    }
    METHODS.get()
}

/// Makes the type of a registered function's parameter `array|string`, which ext-php-rs cannot say. Only for
/// module startup.
pub(crate) fn accept_array_or_string(function: &str, parameter: usize) {
    // SAFETY: functions are registered before module startup runs; the one found is an internal one of ours, and
    // has this parameter. The bits below 18 are its types, those above say how it is passed.
    unsafe {
        let functions = (*ffi::ext_php_rs_compiler_globals()).function_table;
        let found = ffi::zend_hash_str_find(functions, function.as_ptr().cast(), function.len());
        if !found.is_null() {
            let function = (*found).value.ptr.cast::<ffi::zend_internal_function>();
            let mask = &mut (*(*function).arg_info.add(parameter)).type_.type_mask;
            *mask = *mask & !0x3_ffff | 1 << ffi::IS_ARRAY | 1 << ffi::IS_STRING;
        }
    }
}

/// Is there a function of this name?
pub(crate) fn function_exists(name: &str) -> bool {
    // SAFETY: the table lives as long as the request; the name is read only.
    unsafe {
        let functions = (*ffi::ext_php_rs_executor_globals()).function_table;
        !ffi::zend_hash_str_find(functions, name.as_ptr().cast(), name.len()).is_null()
    }
}

/// Has PHP something to do between two instructions, such as running a signal handler of the script?
#[inline]
pub(crate) fn interrupt_pending() -> bool {
    // SAFETY: the executor's globals live as long as the request; the flag is written from signal handlers, so it
    // is read as the atomic that it is in C.
    unsafe {
        let globals = ffi::ext_php_rs_executor_globals();
        AtomicBool::from_ptr((&raw mut (*globals).vm_interrupt).cast()).load(Ordering::Acquire)
    }
}

/// Has something thrown that is not caught yet?
pub(crate) fn exception_pending() -> bool {
    // SAFETY: the executor's globals live as long as the request.
    unsafe { !(*ffi::ext_php_rs_executor_globals()).exception.is_null() }
}

/// The exit status of the request that ends: 255 after an uncaught exception or a fatal error.
pub(crate) fn exit_status() -> i32 {
    // SAFETY: the executor's globals live as long as the request.
    unsafe { (*ffi::ext_php_rs_executor_globals()).exit_status }
}

/// The name of the server interface that runs PHP, such as `cli` or `fpm-fcgi`.
pub(crate) fn sapi_name() -> String {
    // SAFETY: the interface that runs us has a name for the life of the process.
    unsafe { CStr::from_ptr(ffi::sapi_module.name) }.to_string_lossy().into_owned()
}

/// A PHP stream that owns `fd`. Says false when PHP made none.
pub(crate) fn stream(fd: OwnedFd, slot: Slot<'_>) -> bool {
    let fd = fd.into_raw_fd();
    // SAFETY: an open descriptor that now belongs to the stream; no persistent id.
    unsafe {
        #[cfg(not(php_debug))]
        let stream = ffi::_php_stream_fopen_from_fd(fd, c"r".as_ptr(), ptr::null(), false);
        #[cfg(php_debug)]
        let stream = {
            let file = c"wsengine".as_ptr();
            ffi::_php_stream_fopen_from_fd(fd, c"r".as_ptr(), ptr::null(), false, 0, file, 0, file, 0)
        };
        if stream.is_null() {
            libc::close(fd);
            return false;
        }
        slot.write(ffi::IS_RESOURCE_EX, ffi::zend_value { res: (*stream).res });
        // Without this PHP would warn of a leaked stream at the end, as no script had it.
        (*stream).set___exposed(1);
        true
    }
}
