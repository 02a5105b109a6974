#!/usr/bin/awk -f
# Written by scs-deploy: tells which kernel setting is not what it was set to last. A kernel need not have the optional ones.
BEGIN {
    FS = " *= *"
    ARGV[1] = "/etc/sysctl.d/59-scs-deploy-optional.conf"
    ARGV[2] = "/etc/sysctl.d/60-scs-deploy.conf"
    ARGC = 3
    root = "/proc/sys/"
}
/^[^#]/ {
    if (!($1 in wanted)) names[++count] = $1
    gsub(/[ \t]+/, " ", $2)
    wanted[$1] = $2
}
END {
    for (number = 1; number <= count; number++) {
        file = names[number]
        gsub(/\./, "/", file)
        if (file !~ /\*/) {
            look(root file, names[number], wanted[names[number]])
            continue
        }
        list = "ls -d " root file
        while ((list | getline path) > 0) {
            name = substr(path, length(root) + 1)
            gsub(/\//, ".", name)
            if (!(name in wanted)) look(path, name, wanted[names[number]]) # what is said of one interface counts more
        }
        close(list)
    }
}
function look(path, name, value,    now) {
    if ((getline now <path) < 1) return
    close(path)
    gsub(/[ \t]+/, " ", now)
    if (now == value) return
    print name " is " now ", not " value
    exit 1
}
