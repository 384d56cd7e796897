/*
 * An exported detector in QuPath 0.4 or later, without Python.
 *
 *   transfer-kit models export breast -o breast-640.onnx --size 640 --card breast-640.json
 *
 * Put the two files into the folder `models` of your QuPath project, select annotations (or none,
 * for the whole image) and run this script. Detections lie inside the annotations.
 *
 * QuPath runs ONNX files by OpenCV, which needs a fixed size: hence `--size`. The script decodes
 * the codecs proximity and kinet: peaks of a map, to the pixel. Others follow the steps in the card
 * (`decoding`), or take the network's detections from `transfer-kit predict` as GeoJSON.
 *
 * What was tried without QuPath: the file in OpenCV 4.10 gives the network's maps, and `peaks` finds
 * the detector's nuclei in them. What was not: the lines that call QuPath itself, which follow the
 * sources of QuPath 0.4 to 0.6.
 */

import com.google.gson.Gson
import groovy.transform.CompileStatic
import org.bytedeco.javacpp.indexer.FloatIndexer
import qupath.lib.images.servers.PixelType
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.regions.ImagePlane
import qupath.lib.regions.Padding
import qupath.lib.regions.RegionRequest
import qupath.lib.roi.ROIs
import qupath.opencv.dnn.DnnTools
import qupath.opencv.ops.ImageOps

import static qupath.lib.scripting.QP.*

String name = 'breast-640'
int size = 640  // as exported

def folder = new File(buildFilePath(PROJECT_BASE_DIR, 'models'))
def card = new Gson().fromJson(new File(folder, name + '.json').getText('UTF-8'), Map)
def decoding = card.decoding
if (!(decoding.codec in ['proximity', 'kinet']))
    throw new RuntimeException("Decoding by ${decoding.codec} is not written here")
if (card.normalise != 'none')
    println "Images should be brought to the stain of the card by ${card.normalise} first"

def numbers = decoding.numbers
def classes = decoding.maps.findAll { it.activation == 'none' }.collect { it.name as String }
int window = numbers.window_px as int
float threshold = numbers.threshold as float
boolean toMaximum = numbers.reference == 'maximum'
int stride = decoding.stride_px as int
int context = Math.ceil((decoding.context_px as double) / stride) * stride
int step = Math.floorDiv(size - 2 * context, stride) * stride
if (step < stride)
    throw new RuntimeException("The network sees ${context} px around a tile: export a larger --size")

def imageData = getCurrentImageData()
def server = imageData.getServer()
def calibration = server.getPixelCalibration()
if (!calibration.hasPixelSizeMicrons())
    throw new RuntimeException('The image has no pixel size: set it under Image')
// Image pixels to a pixel of the network.
double downsample = (card.mpp as double) / calibration.getAveragedPixelSizeMicrons()
int width = Math.floor(server.getWidth() / downsample) as int
int height = Math.floor(server.getHeight() / downsample) as int
if (width < size || height < size)
    throw new RuntimeException("The image is smaller than ${size} px at ${card.mpp} µm/px")

def network = DnnTools.builder(new File(folder, name + '.onnx').getAbsolutePath()).build()
def op = ImageOps.buildImageDataOp().appendOps(
    ImageOps.Core.ensureType(PixelType.FLOAT32),
    ImageOps.Core.divide(255.0d),
    ImageOps.Core.subtract(card.mean as double[]),
    ImageOps.Core.divide(card.std as double[]),
    ImageOps.ML.dnn(network, size, size, Padding.empty())
)

def areas = getSelectedObjects().findAll { it.isAnnotation() }
def shapes = areas.collect { it.getROI() }
def detections = []
for (int[] tile : tiles(width, height, size, step, context)) {
    def (int left, int top, int fromX, int fromY, int toX, int toY) = tile as List
    def request = RegionRequest.createInstance(
        server.getPath(), downsample,
        (left * downsample) as int, (top * downsample) as int,
        Math.round(size * downsample) as int, Math.round(size * downsample) as int)
    if (shapes && !shapes.any { it.getGeometry().intersects(ROIs.createRectangleROI(request).getGeometry()) })
        continue
    def maps = op.apply(imageData, request)  // H x W with a channel a map
    if (maps.rows() != size || maps.cols() != size)
        throw new RuntimeException("QuPath read ${maps.cols()} x ${maps.rows()} px in place of ${size}")
    float[][] heights = new float[classes.size()][size * size]
    FloatIndexer values = maps.createIndexer()
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++)
            for (int k = 0; k < heights.length; k++)
                heights[k][y * size + x] = maps.channels() == 1 ? values.get(y, x) : values.get(y, x, k)
    values.release()
    maps.close()
    float reference = toMaximum ? highest(heights) : numbers.reference as float
    for (double[] peak : peaks(heights, size, window, threshold, reference)) {
        if (peak[0] + left < fromX || peak[0] + left >= toX || peak[1] + top < fromY || peak[1] + top >= toY)
            continue  // its tile is another
        // The centre of a pixel is at .5 in QuPath.
        double x = (left + peak[0] + 0.5) * downsample
        double y = (top + peak[1] + 0.5) * downsample
        if (shapes && !shapes.any { it.contains(x, y) })
            continue
        String found = classes[peak[3] as int]
        def pathClass = found == 'nucleus' ? null : PathClass.fromString(found)
        def roi = ROIs.createPointsROI(x, y, ImagePlane.getDefaultPlane())
        def detection = PathObjects.createDetectionObject(roi, pathClass)
        detection.getMeasurementList().put('Detection score', peak[2])
        detections << detection
    }
}
addObjects(detections)
println "${detections.size()} nuclei"

/** Of each tile: where it is read, and from where to where its nuclei count. */
@CompileStatic
static List<int[]> tiles(int width, int height, int size, int step, int context) {
    List<int[]> found = []
    for (int fromY = 0; fromY < height; fromY += step) {
        for (int fromX = 0; fromX < width; fromX += step) {
            int left = Math.max(0, Math.min(fromX - context, width - size))
            int top = Math.max(0, Math.min(fromY - context, height - size))
            found << ([left, top, fromX, fromY,
                       Math.min(width, fromX + step), Math.min(height, fromY + step)] as int[])
        }
    }
    return found
}

/** The highest value of all maps. */
@CompileStatic
static float highest(float[][] maps) {
    float most = 0
    for (float[] map : maps)
        for (float value : map)
            most = Math.max(most, value)
    return most
}

/** x, y, score and class number of each peak, as the card's steps say; flat peaks to the pixel. */
@CompileStatic
static List<double[]> peaks(float[][] maps, int size, int window, float threshold, float reference) {
    float[] h = Arrays.copyOf(maps[0], maps[0].length)
    for (float[] map : maps)
        for (int i = 0; i < h.length; i++)
            h[i] = Math.max(h[i], map[i])
    List<Integer> candidates = []
    for (int i = 0; i < h.length; i++)
        if (h[i] > 0 && h[i] / reference >= threshold && isHighest(h, size, i, window))
            candidates << i
    candidates.sort { Integer a, Integer b -> h[b] <=> h[a] ?: a <=> b }
    List<double[]> found = []
    for (int i : candidates) {
        int x = i % size, y = i.intdiv(size) as int
        // Equal to one that was kept, and within its window.
        if (found.any { double[] other -> Math.max(Math.abs(other[0] - x), Math.abs(other[1] - y)) <= window })
            continue
        int best = 0
        for (int k = 1; k < maps.length; k++)
            if (maps[k][i] > maps[best][i])
                best = k
        found << ([x, y, h[i] / reference, best] as double[])
    }
    return found
}

@CompileStatic
static boolean isHighest(float[] h, int size, int i, int window) {
    int x = i % size, y = i.intdiv(size) as int
    for (int row = Math.max(0, y - window); row <= Math.min(size - 1, y + window); row++)
        for (int column = Math.max(0, x - window); column <= Math.min(size - 1, x + window); column++)
            if (h[row * size + column] > h[i])
                return false
    return true
}
