"""Where model code runs: a child process that can do no harm (Linux). `..sandbox` is its Trio side.

These files run in a process of their own that imports nothing but the standard library, so that it
starts fast and has nothing in it worth stealing: `_start` is run, `keeper` takes requests and starts a
confined process for each, `rooms` builds the namespaces, `limits` takes rights away, `syscalls` is the
filter, `kernel` calls the kernel, `jobs` is what is done in there.
"""
