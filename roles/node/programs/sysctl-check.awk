#!/usr/bin/awk -f
# Written by scs-deploy: tells which kernel setting is not what it was set to last. A kernel need not have the optional ones.
BEGIN {
    FS = " *= *"
    ARGV[1] = "/etc/sysctl.d/59-scs-deploy-optional.conf"
    ARGV[2] = "/etc/sysctl.d/60-scs-deploy.conf"
    ARGC = 3
}
/^[^#]/ {
    if (!($1 in wanted)) names[++count] = $1
    gsub(/[ \t]+/, " ", $2)
    wanted[$1] = $2
}
END {
    for (number = 1; number <= count; number++) {
        name = file = names[number]
        gsub(/\./, "/", file)
        if ((getline now <("/proc/sys/" file)) < 1) continue
        gsub(/[ \t]+/, " ", now)
        if (now == wanted[name]) continue
        print name " is " now ", not " wanted[name]
        exit 1
    }
}
