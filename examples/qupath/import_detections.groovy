/*
 * Detections of `transfer-kit predict` onto the images of a QuPath project, by their names.
 *
 * For QuPath 0.4 and later. Open it in the script editor (Automate > Script editor) and choose
 * Run > Run for project; with Run alone it works on the open image.
 *
 * For the image slide.svs, FOLDER/slide.geojson is read (or slide.svs.geojson, or the parts
 * slide-001.geojson, slide-002.geojson …). Classes, colours, names, measurements (such as
 * "Detection score"), ids and metadata (which model found it) come along. Annotations that are
 * there already stay; detections of an earlier import are replaced.
 */
import java.util.regex.Pattern
import qupath.lib.io.PathIO
import static qupath.lib.gui.scripting.QPEx.*

// ---- What you may change -------------------------------------------------------------------

// The folder that `transfer-kit predict … -o FOLDER` wrote.
FOLDER = getProject() == null ? 'found' : buildFilePath(PROJECT_BASE_DIR, 'found')

// Leave out what the detector was less sure of.
LOWEST_SCORE = 0.0

// Delete detections that the kit made before; those of QuPath or of others stay.
REPLACE = true

// The measurement that each detection of the kit carries.
SCORE = 'Detection score'

// ---- The work ------------------------------------------------------------------------------

def entry = getProjectEntry()
def full = entry == null ? getCurrentServer().getMetadata().getName() : entry.getImageName()
def files = filesOf(full)
if (files.isEmpty()) {
    println "${full}: no ${stemOf(full)}.geojson in ${FOLDER}"
    return
}
def found = files.collectMany { PathIO.readObjects(it) }.findAll { scoreOf(it) >= LOWEST_SCORE }
if (REPLACE) {
    def old = getDetectionObjects().findAll { it.getMeasurementList().containsKey(SCORE) }
    removeObjects(old, true)
}
addObjects(found)
fireHierarchyUpdate()
println "${full}: ${found.size()} objects from ${files.collect { it.getName() }.join(', ')}"

/** What the kit calls the stem: the name without its suffix. */
String stemOf(String name) {
    return name.replaceFirst(/\.\w{1,5}$/, '')
}

/** The file of an image, or its numbered parts. */
List<File> filesOf(String name) {
    def whole = [stemOf(name), name].collect { new File(FOLDER, it + '.geojson') }
    def one = whole.find { it.isFile() }
    if (one != null) {
        return [one]
    }
    def part = Pattern.compile(Pattern.quote(stemOf(name)) + '-\\d{3,}\\.geojson')
    def listed = new File(FOLDER).listFiles() ?: new File[0]
    return listed.findAll { part.matcher(it.getName()).matches() }.sort { it.getName() }
}

/** An object without a score, such as an area, is always kept. */
double scoreOf(object) {
    def measurements = object.getMeasurementList()
    return measurements.containsKey(SCORE) ? measurements.get(SCORE) : Double.POSITIVE_INFINITY
}
