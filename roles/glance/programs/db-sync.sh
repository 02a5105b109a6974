#!/bin/sh
# Written by scs-deploy: tables, then definitions of image properties; what is there already is left alone.
set -eu
glance-manage db_sync
exec glance-manage db_load_metadefs /usr/share/glance-common/metadefs
