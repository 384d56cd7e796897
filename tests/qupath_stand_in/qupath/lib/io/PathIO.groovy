package qupath.lib.io

import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import qupath.lib.objects.PathObject

class PathIO {
    static List readObjects(File file) {
        return new JsonSlurper().parse(file, 'UTF-8').features.collect { new PathObject(feature: it) }
    }

    static void write(Collection objects, File file) {
        def collection = [type: 'FeatureCollection', features: objects.collect { it.feature }]
        file.setText(JsonOutput.toJson(collection), 'UTF-8')
    }
}
