package io.github.volatilesnapshotter.linux;

/**
 * An error number of the kernel, as on x86_64 and aarch64 (both use asm-generic/errno.h).
 *
 * @param number positive, as errno holds it
 */
public record Errno(int number) {
    public static final Errno EPERM = new Errno(1);
    public static final Errno ENOENT = new Errno(2);
    public static final Errno EINTR = new Errno(4);
    public static final Errno EIO = new Errno(5);
    public static final Errno ENXIO = new Errno(6);
    public static final Errno E2BIG = new Errno(7);
    public static final Errno EBADF = new Errno(9);
    public static final Errno EAGAIN = new Errno(11);
    public static final Errno ENOMEM = new Errno(12);
    public static final Errno EACCES = new Errno(13);
    public static final Errno EBUSY = new Errno(16);
    public static final Errno EEXIST = new Errno(17);
    public static final Errno EXDEV = new Errno(18);
    public static final Errno ENODEV = new Errno(19);
    public static final Errno ENOTDIR = new Errno(20);
    public static final Errno EISDIR = new Errno(21);
    public static final Errno EINVAL = new Errno(22);
    public static final Errno ENFILE = new Errno(23);
    public static final Errno EMFILE = new Errno(24);
    public static final Errno EFBIG = new Errno(27);
    public static final Errno ENOSPC = new Errno(28);
    public static final Errno EROFS = new Errno(30);
    public static final Errno ERANGE = new Errno(34);
    public static final Errno ENAMETOOLONG = new Errno(36);
    public static final Errno ENOSYS = new Errno(38);
    public static final Errno ENOTEMPTY = new Errno(39);
    public static final Errno ELOOP = new Errno(40);
    public static final Errno ENODATA = new Errno(61);
    public static final Errno EOVERFLOW = new Errno(75);
    public static final Errno EOPNOTSUPP = new Errno(95);
    public static final Errno ESHUTDOWN = new Errno(108);
    public static final Errno ESTALE = new Errno(116);
    public static final Errno EUCLEAN = new Errno(117);
    public static final Errno EDQUOT = new Errno(122);

    /** Names by number, from 1; {@code -} where the kernel has none. */
    private static final String[] NAMES = """
            EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD
            EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR
            EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS
            EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP
            - ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI
            EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT - EBFONT ENOSTR
            ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM
            EPROTO EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD
            ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE
            EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE \
            EADDRNOTAVAIL ENETDOWN
            ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT
            ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL EISNAM
            EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD
            ENOTRECOVERABLE ERFKILL EHWPOISON
            """.strip().split("\\s+", -1);

    /** The name of errno.h, for example {@code EIO}; {@code errno 4000} for a number that has none. */
    public String name() {
        boolean named = number >= 1 && number <= NAMES.length && !NAMES[number - 1].equals("-");
        return named ? NAMES[number - 1] : "errno " + number;
    }

    public boolean is(Errno other) {
        return number == other.number;
    }

    /** Whether the filesystem, or a quota on it, has no room for what was to be written: it is full, and not broken. */
    public boolean isNoRoom() {
        return is(ENOSPC) || is(EDQUOT);
    }

    /** Whether a call was not made for want of something of this process or machine: says nothing of a filesystem or disk. */
    public boolean isShortage() {
        return is(EMFILE) || is(ENFILE) || is(ENOMEM) || is(EINTR) || is(EAGAIN);
    }

    /** Name and number, for example {@code EIO (5)}. */
    @Override
    public String toString() {
        return name() + " (" + number + ")";
    }
}
