/*
 * Labels of a QuPath project, as a folder that `transfer-kit data add` reads.
 *
 * For QuPath 0.4 and later. Open it in the script editor (Automate > Script editor) and choose
 * Run > Run for project; without a project, or with Run alone, it works on the open image.
 *
 *   labels/annotations/IMAGE.geojson   for each image, all annotations and detections with their
 *                                      ids, classes, colours, names, measurements and metadata
 *
 * IMAGE is the image's name without its suffix, so that the kit finds the file beside the image.
 *
 * A slide is too large to learn from as a whole. With TILES = true, each area of the class
 * "Labelled region" becomes an image of its own in full resolution, with its µm per pixel inside:
 *
 *   labels/images/IMAGE-1.png             the first region
 *   labels/annotations/IMAGE-1.geojson    what lies in it, shifted to the tile
 */
import java.awt.geom.AffineTransform
import java.awt.image.BufferedImage
import javax.imageio.IIOImage
import javax.imageio.ImageIO
import javax.imageio.ImageTypeSpecifier
import javax.imageio.metadata.IIOMetadataNode
import qupath.lib.geom.Point2
import qupath.lib.objects.PathObjectTools
import qupath.lib.objects.PathObjects
import qupath.lib.regions.RegionRequest
import qupath.lib.roi.ROIs
import static qupath.lib.gui.scripting.QPEx.*

// ---- What you may change -------------------------------------------------------------------

// false: labels of whole images. true: a tile for each labelled region, for slides.
TILES = false

// Where the files go; give it to `transfer-kit data add`.
FOLDER = getProject() == null ? 'labels' : buildFilePath(PROJECT_BASE_DIR, 'labels')

// Classes of areas inside which every nucleus is marked, as the kit knows them.
LABELLED = ['Labelled region', 'Labeled region', 'Region*']

// Classes that begin so are weak labels of areas ("Region: tumour").
REGION_PREFIX = 'Region: '

// A larger region would not fit into memory.
LARGEST_TILE_PX = 20000

// ---- The work ------------------------------------------------------------------------------

def name = imageStem()
def objects = (getAnnotationObjects() + getDetectionObjects()).findAll { !it.isTile() }
def regions = getAnnotationObjects().findAll { isLabelled(it) }
if (!TILES) {
    writeLabels(objects, name)
    println "${name}: ${objects.size()} objects, ${regions.size()} labelled regions"
    return
}
if (regions.isEmpty()) {
    println "${name}: no area of the class '${LABELLED[0]}', so no tile"
    return
}
regions.eachWithIndex { region, index -> writeTile(region, objects, "${name}-${index + 1}") }

/** The image's name in the project without its suffix: what the kit calls its stem. */
String imageStem() {
    def entry = getProjectEntry()
    def full = entry == null ? getCurrentServer().getMetadata().getName() : entry.getImageName()
    return full.replaceFirst(/\.\w{1,5}$/, '')
}

boolean isLabelled(object) {
    def given = object.getPathClass()?.toString()
    return given != null && LABELLED.any { it.equalsIgnoreCase(given) } && object.getROI().isArea()
}

boolean isRegionLabel(object) {
    def given = object.getPathClass()?.toString()
    return given != null && given.toLowerCase().startsWith(REGION_PREFIX.toLowerCase())
}

void writeLabels(objects, String stem) {
    def folder = buildFilePath(FOLDER, 'annotations')
    mkdirs(folder)
    // A FeatureCollection with measurements, uncompressed: nothing is left out.
    exportObjectsToGeoJson(objects, buildFilePath(folder, stem + '.geojson'), 'FEATURE_COLLECTION')
}

/** The rectangle around a region as an image, and all that lies in the region. */
void writeTile(region, objects, String stem) {
    def server = getCurrentServer()
    def roi = region.getROI()
    int x = Math.max(0, Math.floor(roi.getBoundsX()) as int)
    int y = Math.max(0, Math.floor(roi.getBoundsY()) as int)
    int right = Math.min(server.getWidth(), Math.ceil(roi.getBoundsX() + roi.getBoundsWidth()) as int)
    int bottom = Math.min(server.getHeight(), Math.ceil(roi.getBoundsY() + roi.getBoundsHeight()) as int)
    if (right <= x || bottom <= y) {
        println "${stem}: the region lies outside of the image and is left out"
        return
    }
    if (right - x > LARGEST_TILE_PX || bottom - y > LARGEST_TILE_PX) {
        println "${stem}: ${right - x} x ${bottom - y} px are too many; draw smaller regions"
        return
    }
    def request = RegionRequest.createInstance(server.getPath(), 1.0d, x, y, right - x, bottom - y)
    def inside = objects.collect { insideOf(it, region) }.findAll { it != null }
    def shift = AffineTransform.getTranslateInstance(-x as double, -y as double)
    // Ids stay; measurements and metadata come along.
    def moved = inside.collect { PathObjectTools.transformObject(it, shift, true, false) }
    def folder = buildFilePath(FOLDER, 'images')
    mkdirs(folder)
    def mpp = micrometresPerPixel(server)
    writePng(server.readRegion(request), new File(folder, stem + '.png'), mpp)
    writeLabels(moved, stem)
    println "${stem}: ${moved.size()} objects, " + (mpp == null ? 'scale unknown' : "${mpp} µm per pixel")
}

/** The object if it belongs to the region; of several points those inside; else null. */
def insideOf(object, region) {
    def area = region.getROI()
    def roi = object.getROI()
    if (object == region) {
        return object
    }
    if (isLabelled(object)) {
        return null // a tile of its own
    }
    if (isRegionLabel(object)) {
        return roi.getBoundsX() < area.getBoundsX() + area.getBoundsWidth() &&
            roi.getBoundsX() + roi.getBoundsWidth() > area.getBoundsX() &&
            roi.getBoundsY() < area.getBoundsY() + area.getBoundsHeight() &&
            roi.getBoundsY() + roi.getBoundsHeight() > area.getBoundsY() ? object : null
    }
    if (!roi.isPoint() || roi.getNumPoints() == 1) {
        return area.contains(roi.getCentroidX(), roi.getCentroidY()) ? object : null
    }
    def points = roi.getAllPoints().findAll { area.contains(it.getX(), it.getY()) }
    if (points.isEmpty()) {
        return null
    }
    if (points.size() == roi.getNumPoints()) {
        return object
    }
    def copies = points.collect { new Point2(it.getX(), it.getY()) }
    def part = PathObjects.createAnnotationObject(
        ROIs.createPointsROI(copies, roi.getImagePlane()), object.getPathClass())
    part.setName(object.getName())
    part.setColor(object.getColor())
    return part
}

/** µm per pixel, or null where the image does not say. */
Double micrometresPerPixel(server) {
    def calibration = server.getPixelCalibration()
    return calibration.hasPixelSizeMicrons() ? calibration.getAveragedPixelSizeMicrons() : null
}

/** A PNG that says its pixels per metre (pHYs), which the kit reads as the scale. */
void writePng(BufferedImage image, File file, Double mpp) {
    def writer = ImageIO.getImageWritersByFormatName('png').next()
    def metadata = writer.getDefaultImageMetadata(
        ImageTypeSpecifier.createFromRenderedImage(image), writer.getDefaultWriteParam())
    if (mpp != null) {
        def perMetre = Math.round(1e6d / mpp).toString()
        def scale = new IIOMetadataNode('pHYs')
        scale.setAttribute('pixelsPerUnitXAxis', perMetre)
        scale.setAttribute('pixelsPerUnitYAxis', perMetre)
        scale.setAttribute('unitSpecifier', 'meter')
        def root = new IIOMetadataNode('javax_imageio_png_1.0')
        root.appendChild(scale)
        metadata.mergeTree('javax_imageio_png_1.0', root)
    }
    def stream = ImageIO.createImageOutputStream(file)
    try {
        writer.setOutput(stream)
        writer.write(new IIOImage(image, null, metadata))
    } finally {
        stream.close()
        writer.dispose()
    }
}
